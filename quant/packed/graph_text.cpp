#include "quant/packed/graph_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <utility>

#include "core/base/check.h"
#include "core/base/short_text.h"

namespace coarsegrad::packed {
namespace {

constexpr std::int64_t kMostWords = 16;
constexpr std::string_view kRoundings[] = {"up", "nearest", "sign"};
constexpr const char* kNorms = "norms";

// Up to the last dot, that included.
std::string_view module_of(std::string_view name) { return name.substr(0, name.rfind('.') + 1); }
// A name as it is written on or behind a line whose name is `line`: from the dot on where both are in one module.
std::string short_name(std::string_view name, std::string_view line) {
  const std::string_view module = module_of(line);
  const bool shared = !module.empty() && name.starts_with(module);
  return std::string(shared ? name.substr(module.size() - 1) : name);
}
std::string full_name(std::string_view name, std::string_view line) {
  const bool goes_on = name.starts_with('.');
  const std::string_view module = goes_on ? module_of(line) : "", rest = name.substr(goes_on ? 1 : 0);
  check(!goes_on || !module.empty(), "given the name ", in_quotes(name), " behind ", in_quotes(line),
        ", expected a dot there, too");
  check(module.size() + rest.size() <= kMostNameBytes, "given the name ", in_quotes(name), ", expected at most ",
        kMostNameBytes, " bytes");
  return cat(module, rest);
}

// The shortest text that is read back as this number.
template <class Number>
std::string text_of(Number value) {
  std::array<char, 64> text;
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}
std::string text_of(const Shape& shape) {
  std::string text;
  for (const std::int64_t n : shape) text += cat(text.empty() ? "" : ",", n);
  return text;
}
std::string text_of(const Extents& e) { return e.h == e.w ? text_of(e.h) : cat(e.h, ',', e.w); }

void add_array(Arrays& arrays, const std::string& name, Array values) {
  const bool is_new = arrays.emplace(name, std::move(values)).second;
  check(is_new, "packed model: two nodes want numbers of the name ", in_quotes(name));
}

// Writes the keys of an operation.
class Writer {
 public:
  Writer(const std::string& name, std::vector<float>& norms, Arrays& arrays)
      : name_(name), norms_(norms), arrays_(arrays) {}
  const std::string& text() const { return text_; }

  void operator()(const Input& o) {
    put("shape", text_of(o.sample));
    if (o.scale != 0) put("scale", text_of(o.scale));
  }
  void operator()(const Conv2d& o) {
    add_weight(o.weight, o.bias);
    extents("stride", o.stride, {1, 1});
    extents("padding", o.padding, {0, 0});
    extents("dilation", o.dilation, {1, 1});
    if (o.groups != 1) put("groups", text_of(o.groups));
  }
  void operator()(const Linear& o) { add_weight(o.weight, o.bias); }
  void operator()(const Norm& o) {
    put("channels", text_of(o.mean.size()));
    if (o.shift.empty()) put("rows", "2");
    for (const auto* row : {&o.mean, &o.factor, &o.shift}) norms_.insert(norms_.end(), row->begin(), row->end());
  }
  void operator()(const Quantize& o) {
    const kernels::Quantizer<float> plain{1, (1 << o.bits) - 1};
    if (o.bits != 1) put("bits", text_of(o.bits));
    if (o.quantizer.levels != plain.levels) put("levels", text_of(o.quantizer.levels));
    if (o.quantizer.alpha != plain.alpha) put("alpha", text_of(o.quantizer.alpha));
    if (o.quantizer.steps != plain.steps) put("steps", text_of(o.quantizer.steps));
    if (o.quantizer.rounding != plain.rounding)
      put("rounding", kRoundings[static_cast<std::size_t>(o.quantizer.rounding)]);
  }
  void operator()(const Levels& o) {
    std::string sizes;
    for (const float size : o.sizes) sizes += cat(sizes.empty() ? "" : ",", text_of(size));
    put("sizes", sizes);
    if (o.binary) put("binary", "1");
  }
  void operator()(const Clamp& o) {
    put("lower", text_of(o.lower));
    put("upper", text_of(o.upper));
  }
  void operator()(const MaxPool& o) { add_window(o); }
  void operator()(const AveragePool& o) { add_window(o); }
  void operator()(const Subsample& o) {
    extents("stride", o.stride, {1, 1});
    if (o.channels != 0) put("channels", text_of(o.channels));
    if (o.before != 0) put("before", text_of(o.before));
  }
  void operator()(const Reshape& o) { put("shape", text_of(o.sample)); }
  template <class Plain>
  void operator()(const Plain&) {}

 private:
  void put(std::string_view key, std::string_view value) { text_ += cat(' ', key, '=', value); }
  void extents(std::string_view key, const Extents& value, const Extents& plain) {
    if (value != plain) put(key, text_of(value));
  }
  void add(const std::string& name, const auto& values) {
    if (!values.empty()) add_array(arrays_, name, values);
  }
  void add_weight(const Weight& w, const std::vector<float>& bias) {
    put("weight", text_of(w.shape));
    if (w.codebook != Codebook::signs) put("codes", name_of(w.codebook));
    add(name_ + ".bias", bias);
    if (w.codebook == Codebook::floats) return add(name_, w.values);
    if (w.bits != 1) put("bits", text_of(w.bits));
    if (w.magnitudes != 0) put("magnitudes", text_of(w.magnitudes));
    if (w.scales.size() == 1) put("scale", text_of(w.scales[0]));
    if (w.scales.size() > 1) add(name_ + ".scale", w.scales);
    add(name_ + ".table", w.values);
    add(name_, w.fields);
  }
  void add_window(const Window& o) {
    extents("kernel", o.kernel, {2, 2});
    extents("stride", o.stride, o.kernel);
    extents("padding", o.padding, {0, 0});
  }

  const std::string& name_;
  std::vector<float>& norms_;
  Arrays& arrays_;
  std::string text_;
};

// The pieces of a text between separators. Throws Error, before memory is taken for them, where there are more than
// `most`.
std::vector<std::string_view> pieces(std::string_view text, char separator, std::int64_t most) {
  std::vector<std::string_view> all;
  for (std::size_t begin = 0;;) {
    check(std::ssize(all) < most, "given ", in_quotes(text), ", expected at most ", most, " pieces");
    const std::size_t end = text.find(separator, begin);
    all.push_back(text.substr(begin, end - begin));
    if (end == std::string_view::npos) return all;
    begin = end + 1;
  }
}

template <class Number>
Number number_in(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check(error == std::errc() && end == text.data() + text.size(), "given ", in_quotes(text), ", expected a number");
  return value;
}

template <class Number>
std::vector<Number> numbers_in(std::string_view text, std::int64_t most) {
  std::vector<Number> all;
  for (const std::string_view piece : pieces(text, ',', most)) all.push_back(number_in<Number>(piece));
  return all;
}

// The words of one line behind its name, by key; each is taken once.
class Words {
 public:
  explicit Words(std::span<const std::string_view> words) {
    for (const std::string_view word : words) {
      const std::size_t sign = word.find('=');
      check(sign != std::string_view::npos && sign + 1 < word.size(), "given ", in_quotes(word),
            ", expected KEY=VALUE");
      const bool is_new = values_.emplace(word.substr(0, sign), word.substr(sign + 1)).second;
      check(is_new, "given ", in_quotes(word.substr(0, sign)), " twice");
    }
  }
  /// The value of a key, "" where there is none.
  std::string_view take(std::string_view key) {
    const auto entry = values_.extract(key);
    return entry.empty() ? std::string_view() : entry.mapped();
  }
  template <class Number>
  void take(std::string_view key, Number& to) {
    if (const std::string_view text = take(key); !text.empty()) to = number_in<Number>(text);
  }
  void take(std::string_view key, Extents& to) {
    const std::string_view text = take(key);
    if (text.empty()) return;
    const auto numbers = numbers_in<std::int64_t>(text, 2);
    to = {numbers.front(), numbers.back()};
  }
  Shape take_shape(std::string_view key) {
    const auto extents = numbers_in<std::int64_t>(take(key), Shape::kMaxRank);
    return {extents.data(), static_cast<int>(extents.size())};
  }
  void expect_none() const {
    check(values_.empty(), "given the key ", in_quotes(values_.empty() ? "" : values_.begin()->first),
          ", which is unknown");
  }

 private:
  std::map<std::string_view, std::string_view> values_;
};

// Numbers that one line after another takes its share of.
class Row {
 public:
  explicit Row(std::vector<float> numbers) : numbers_(std::move(numbers)) {}
  std::vector<float> take(std::int64_t count) {
    check(count >= 1 && count <= left(), "given ", count, " channels, expected 1 to ", left(),
          ", the numbers that are left in ", in_quotes(kNorms));
    const auto begin = numbers_.begin() + taken_;
    taken_ += count;
    return {begin, begin + count};
  }
  std::int64_t left() const { return std::ssize(numbers_) - taken_; }

 private:
  std::vector<float> numbers_;
  std::int64_t taken_ = 0;
};

// The array of that name, taken out; empty where there is none and none is needed.
template <class Number>
std::vector<Number> array_in(Arrays& arrays, const std::string& name, bool needed) {
  auto entry = arrays.extract(name);
  check(!entry.empty() || !needed, "given no numbers ", in_quotes(name));
  if (entry.empty()) return {};
  auto* const numbers = std::get_if<std::vector<Number>>(&entry.mapped());
  constexpr bool bytes = sizeof(Number) == 1;
  check(numbers != nullptr, "given ", in_quotes(name), " as ",
        bytes ? "floats, expected bytes" : "bytes, expected floats");
  return std::move(*numbers);
}

// What the lines of a graph take from.
struct Source {
  Arrays& arrays;
  Row norms;
};

// Reads the keys of an operation.
class Reader {
 public:
  Reader(const std::string& name, Words& words, Source& source) : name_(name), words_(words), source_(source) {}

  void operator()(Input& o) {
    o.sample = words_.take_shape("shape");
    words_.take("scale", o.scale);
  }
  void operator()(Conv2d& o) {
    read_weight(o.weight, o.bias);
    words_.take("stride", o.stride);
    words_.take("padding", o.padding);
    words_.take("dilation", o.dilation);
    words_.take("groups", o.groups);
  }
  void operator()(Linear& o) { read_weight(o.weight, o.bias); }
  void operator()(Norm& o) {
    std::int64_t channels = 0;
    int rows = 3;
    words_.take("channels", channels);
    words_.take("rows", rows);
    check(rows == 2 || rows == 3, "given ", rows, " rows, expected 2 or 3");
    o.mean = source_.norms.take(channels);
    o.factor = source_.norms.take(channels);
    if (rows == 3) o.shift = source_.norms.take(channels);
  }
  void operator()(Quantize& o) {
    words_.take("bits", o.bits);
    check(o.bits >= 1 && o.bits <= 8, "given ", o.bits, " bits, expected 1 to 8");
    o.quantizer.levels = (1 << o.bits) - 1;
    words_.take("levels", o.quantizer.levels);
    words_.take("alpha", o.quantizer.alpha);
    words_.take("steps", o.quantizer.steps);
    const std::string_view rounding = words_.take("rounding");
    if (rounding.empty()) return;
    const auto found = std::ranges::find(kRoundings, rounding);
    check(found != std::end(kRoundings), "given rounding ", in_quotes(rounding), ", expected up, nearest or sign");
    o.quantizer.rounding = static_cast<kernels::Rounding>(found - std::begin(kRoundings));
  }
  void operator()(Levels& o) {
    o.sizes = numbers_in<float>(words_.take("sizes"), kMostLinear);
    int binary = 0;
    words_.take("binary", binary);
    check(binary == 0 || binary == 1, "given binary = ", binary, ", expected 0 or 1");
    o.binary = binary == 1;
  }
  void operator()(Clamp& o) {
    words_.take("lower", o.lower);
    words_.take("upper", o.upper);
  }
  void operator()(MaxPool& o) { read_window(o); }
  void operator()(AveragePool& o) { read_window(o); }
  void operator()(Subsample& o) {
    words_.take("stride", o.stride);
    words_.take("channels", o.channels);
    words_.take("before", o.before);
  }
  void operator()(Reshape& o) { o.sample = words_.take_shape("shape"); }
  template <class Plain>
  void operator()(Plain&) {}

 private:
  template <class Number>
  std::vector<Number> array(const char* ending, bool needed) {
    return array_in<Number>(source_.arrays, name_ + ending, needed);
  }
  void read_weight(Weight& w, std::vector<float>& bias) {
    w.shape = words_.take_shape("weight");
    const std::string_view codes = words_.take("codes");
    w.codebook = codes.empty() ? Codebook::signs : codebook_named(codes);
    bias = array<float>(".bias", false);
    if (w.codebook == Codebook::floats) {
      w.values = array<float>("", true);
      return;
    }
    w.bits = 1;
    words_.take("bits", w.bits);
    words_.take("magnitudes", w.magnitudes);
    w.scales = array<float>(".scale", false);
    if (const std::string_view scale = words_.take("scale"); !scale.empty()) {
      check(w.scales.empty(), "given a scale in its line and in its numbers");
      w.scales = {number_in<float>(scale)};
    }
    w.values = array<float>(".table", false);
    w.fields = array<std::uint8_t>("", true);
  }
  void read_window(Window& o) {
    words_.take("kernel", o.kernel);
    o.stride = o.kernel;
    words_.take("stride", o.stride);
    words_.take("padding", o.padding);
  }

  const std::string& name_;
  Words& words_;
  Source& source_;
};

// The numbers of nodes, by their names.
using Numbers = std::map<std::string, int, std::less<>>;

std::vector<int> inputs_in(std::string_view from, const std::string& line, const Numbers& numbers) {
  const int number = static_cast<int>(numbers.size());
  if (from.empty()) return number == 0 ? std::vector<int>() : std::vector<int>{number - 1};
  std::vector<int> inputs;
  for (const std::string_view name : pieces(from, ',', 2)) {
    if (name.empty() && number > 0) {
      inputs.push_back(number - 1);
      continue;
    }
    const auto found = numbers.find(full_name(name, line));
    check(found != numbers.end(), "given the input ", in_quotes(name), ", expected the name of an earlier node");
    inputs.push_back(found->second);
  }
  return inputs;
}

Node node_in(std::string_view line, const std::string& before, const Numbers& numbers, Source& source) {
  const std::vector<std::string_view> all = pieces(line, ' ', kMostWords);
  check(all.size() >= 2, "expected an operation and a name");
  Words words{std::span(all).subspan(2)};
  Node node{.name = full_name(all[1], before), .operation = operation_named(all[0])};
  check(!numbers.contains(node.name), "given the name ", in_quotes(node.name), " twice");
  node.inputs = inputs_in(words.take("from"), node.name, numbers);
  std::visit(Reader(node.name, words, source), node.operation);
  words.expect_none();
  return node;
}

// The names of a node's inputs, "" for the node before; nothing where that is the only one.
std::string inputs_text(const Model& model, std::size_t number) {
  const Node& node = model.nodes[number];
  std::string from;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const auto input = static_cast<std::size_t>(node.inputs[i]);
    from += cat(i == 0 ? "" : ",", input + 1 == number ? "" : short_name(model.nodes[input].name, node.name));
  }
  return from;
}

}  // namespace

std::string graph_text(const Model& model, Arrays& arrays) {
  std::string text, before;
  std::vector<float> norms;
  for (std::size_t number = 0; number < model.nodes.size(); ++number) {
    const Node& node = model.nodes[number];
    text += cat(number == 0 ? "" : "\n", name_of(node.operation), ' ', short_name(node.name, before));
    before = node.name;
    const std::string from = inputs_text(model, number);
    if (!from.empty()) text += " from=" + from;
    Writer writer(node.name, norms, arrays);
    std::visit(writer, node.operation);
    text += writer.text();
  }
  if (!norms.empty()) add_array(arrays, kNorms, std::move(norms));
  return text;
}

std::vector<Node> parse_graph(std::string_view text, Arrays& arrays) {
  const auto lines = std::ranges::count(text, '\n');
  check(lines < kMostNodes, "given a graph of ", lines + 1, " lines, expected at most ", kMostNodes);
  std::vector<Node> nodes;
  Numbers numbers;
  Source source{arrays, Row(array_in<float>(arrays, kNorms, false))};
  for (const std::string_view line : pieces(text, '\n', kMostNodes)) try {
      nodes.push_back(node_in(line, nodes.empty() ? "" : nodes.back().name, numbers, source));
      const int number = static_cast<int>(numbers.size());
      numbers.emplace(nodes.back().name, number);
    } catch (const Error& e) {
      throw Error(cat("line ", nodes.size() + 1, " of its graph: ", e.what()));
    }
  check(source.norms.left() == 0, "given ", source.norms.left(), " numbers in ", in_quotes(kNorms),
        " that no node reads");
  return nodes;
}

}  // namespace coarsegrad::packed
