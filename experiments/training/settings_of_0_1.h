#pragma once
// What version 0.1 wrote into the files of networks, in the words of today.
#include <string>

namespace coarsegrad::experiments {

/// The settings of a network, a JSON object, as they are read today. Those of today, and what is no object or holds what
/// version 0.1 never wrote, come back as they are, for their reader to refuse.
std::string settings_of_today(const std::string& text);

}  // namespace coarsegrad::experiments
