#include "core/base/json_text.h"

#include <algorithm>
#include <set>
#include <vector>

namespace coarsegrad {
namespace {

using nlohmann::json;

/// Follows the parser through the text and stops it where a limit is passed.
class Guard {
 public:
  Guard(const std::string& what, const JsonLimits& limits, const TakeEntry& take)
      : what_(what), limits_(limits), take_(take) {}

  /// Whether the parser keeps what it has read; `depth` counts what it is inside of.
  bool operator()(int depth, json::parse_event_t event, const json& parsed) {
    using Event = json::parse_event_t;
    open_.erase(open_.begin() + std::min<std::ptrdiff_t>(depth, std::ssize(open_)), open_.end());
    if (event == Event::key) {
      add_key(parsed.get_ref<const std::string&>());
      return true;
    }
    const bool list = event == Event::array_start, begins = list || event == Event::object_start;
    check(!begins || depth < limits_.depth, what_, " is nested more than ", limits_.depth, " deep");
    if ((begins || event == Event::value) && depth > 0 && open_.back().list) count();
    if (begins) open_.push_back({list});
    const bool entry = !begins && depth == 1 && !open_.front().list;
    return !(entry && take_ && take_(key_, parsed));
  }

 private:
  struct Open {
    bool list;
    std::size_t length = 0;
    std::set<std::string> keys = {};
  };

  void add_key(const std::string& key) {
    if (open_.size() == 1) key_ = key;
    const bool is_new = open_.back().keys.insert(key).second;
    check(is_new, what_, " has ", in_quotes(key), " twice");
    count();
  }
  void count() {
    if (open_.size() > 1) ++open_.back().length;
    check(open_.size() == 1 || open_.back().length <= limits_.inner_length, what_,
          " has a list or an object of more than ", limits_.inner_length, " entries");
  }

  const std::string& what_;
  const JsonLimits& limits_;
  const TakeEntry& take_;
  std::vector<Open> open_;  // lists and objects that have begun, the outermost first
  std::string key_;         // the latest one of the outermost object
};

}  // namespace

json parse_json(std::string_view text, const std::string& what, const JsonLimits& limits, const TakeEntry& take) {
  try {
    Guard guard(what, limits, take);
    return json::parse(
        text, [&guard](int depth, json::parse_event_t event, json& parsed) { return guard(depth, event, parsed); });
  } catch (const json::parse_error& e) {
    throw Error(cat(what, " is no JSON: wrong at byte ", e.byte));
  } catch (const json::exception&) {
    throw Error(what + " holds a number that is out of range");
  }
}

}  // namespace coarsegrad
