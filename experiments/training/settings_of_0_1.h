#pragma once
// Settings that version 0.1 wrote into the files of networks, as they are written today.
#include <string>

namespace coarsegrad::experiments {

/// The settings of a network, a JSON object of version 0.1, as this version writes them. A text of this version comes
/// back as it is, and so does one that neither version writes, for its reader to refuse.
std::string settings_of_today(const std::string& text);

}  // namespace coarsegrad::experiments
