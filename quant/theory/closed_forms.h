#pragma once
// The closed forms of shipped surrogates (quant/theory/ste.h), with T = 1/|w| and E = erf(T / (sqrt(2) sin theta)). Each
// is one row of a table in the source; tanh, sigmoid and swish_sign have none.
#include <string>
#include <utility>
#include <vector>

#include "quant/theory/ste.h"

namespace coarsegrad::theory {

/// Name of the surrogate and closed form. That of arctan takes one integral of a smooth function, and so do triangular
/// and polynomial (Owen's T function); the others are elementary.
std::vector<std::pair<std::string, ClosedForm>> shipped_closed_forms();

}  // namespace coarsegrad::theory
