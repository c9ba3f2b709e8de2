#pragma once
// Which layers of a network a method treats in another way: the first one in float, say, or one with 8 bits. An
// exception is one line of text, the same in C++, in a configuration and on the command line:
//   "last: float"                     everything in float that belongs to the last layer
//   "first: weights=float"            its weights alone
//   "conv1: weights.bits=8"           other options of the method's own projection
//   "stages.*: weights=twn activations.bits=8"
// Before the colon stands the dotted name of a layer (of its module, as summary lists it), in which * is any text, or
// `first` or `last`: the first and the last layer that has weights, in the order of the network. Behind it, separated
// by spaces, stand settings: `weights` and `activations` name another part of that kind, `float` is none, and
// NAME.OPTION sets an option of it; `gradients=float` leaves the gradient of a layer's output as it is. `float` alone
// means all three. Where several exceptions fit a layer, a later one wins.
//
// An activation is a layer of its own name. That of `last` is the one whose output the last layer reads, where it
// serves no other place: "last: float" takes its levels and keeps its bounds, where it can (nn::Activation::quantize),
// and "last: activations.bits=8" gives it options of its own. What is float anyway has no options: a setting of one
// passes it over.
#include <string>
#include <string_view>
#include <vector>

#include "core/base/part_registry.h"
#include "core/real.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// A layer with weights among the others of its network.
struct LayerPlace {
  std::string name = {};  ///< dotted name of the module
  /// Whether it is the first of them, in the order of the network.
  bool first = false, last = false;  ///< whether it is the last of them
};

/// The exceptions of a method, read from their lines.
class LayerExceptions {
 public:
  /// No exceptions.
  LayerExceptions() = default;
  /// Throws UsageError for a line that is not such an exception.
  explicit LayerExceptions(const std::vector<std::string>& lines);

  /// The part for the weights of this layer, where the method has `part`; "none": they are float. Throws UsageError for
  /// unknown parts and options.
  Part weights(const Part& part, const LayerPlace& layer) const;
  /// The part for an activation, where the method has `part`; "relu": it is float. `activation` is `last` where its
  /// output is what the last layer reads. Throws as weights().
  Part activation(const Part& part, const LayerPlace& activation) const;
  /// Whether the gradient of this layer's output is quantized.
  bool gradients(const LayerPlace& layer) const;
  /// Whether the activation that the last layer reads keeps its levels.
  bool last_activation() const;
  /// Whether that activation is another part, or has other options, than the rest.
  bool changes_last_activation() const;

  /// Throws UsageError, naming the line, for an exception that fits none of these layers and activations.
  void expect_matches(const std::vector<std::string>& names) const;

 private:
  enum class Kind { weights, activations, gradients };
  struct Setting {
    Kind kind;
    std::string option, value;  // no option: the part itself
    // Whether it makes an activation float, which for that of the last layer means no levels.
    bool takes_levels() const { return kind == Kind::activations && option.empty() && value == "float"; }
  };
  struct Exception {
    std::string line, pattern;
    std::vector<Setting> settings;
    bool matches(const LayerPlace& layer) const;
  };
  Part changed(Part part, Kind kind, const LayerPlace& layer, const PartCatalogue& parts, const char* none) const;

  std::vector<Exception> all_;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
