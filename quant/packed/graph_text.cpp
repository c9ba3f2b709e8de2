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

constexpr std::int64_t kMostNodes = 1 << 14;
constexpr std::string_view kRoundings[] = {"up", "nearest", "sign"};

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

// Writes the keys of an operation.
class Writer {
 public:
  Writer(const std::string& name, Arrays& arrays) : name_(name), arrays_(arrays) {}
  const std::string& text() const { return text_; }

  void operator()(const Input& o) { put("shape", text_of(o.sample)); }
  void operator()(const Conv2d& o) {
    add_weight(o.weight, o.bias);
    extents("stride", o.stride, {1, 1});
    extents("padding", o.padding, {0, 0});
    extents("dilation", o.dilation, {1, 1});
    if (o.groups != 1) put("groups", text_of(o.groups));
  }
  void operator()(const Linear& o) { add_weight(o.weight, o.bias); }
  void operator()(const Norm& o) {
    Array rows{.shape = {o.shift.empty() ? 2 : 3, std::ssize(o.mean)}};
    for (const auto* row : {&o.mean, &o.factor, &o.shift})
      rows.floats.insert(rows.floats.end(), row->begin(), row->end());
    arrays_[name_] = std::move(rows);
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
  void add_floats(const std::string& name, const std::vector<float>& values) {
    if (!values.empty()) arrays_[name] = {.shape = {std::ssize(values)}, .floats = values};
  }
  void add_weight(const Weight& w, const std::vector<float>& bias) {
    put("weight", text_of(w.shape));
    if (w.codebook != Codebook::signs) put("codes", name_of(w.codebook));
    add_floats(name_ + ".bias", bias);
    if (w.codebook == Codebook::floats) return add_floats(name_, w.values);
    if (w.bits != 1) put("bits", text_of(w.bits));
    if (w.magnitudes != 0) put("magnitudes", text_of(w.magnitudes));
    if (w.scales.size() == 1) put("scale", text_of(w.scales[0]));
    if (w.scales.size() > 1) add_floats(name_ + ".scale", w.scales);
    add_floats(name_ + ".table", w.values);
    arrays_[name_] = {.shape = {std::ssize(w.fields)}, .bytes = w.fields};
  }
  void add_window(const Window& o) {
    extents("kernel", o.kernel, {2, 2});
    extents("stride", o.stride, o.kernel);
    extents("padding", o.padding, {0, 0});
  }

  const std::string& name_;
  Arrays& arrays_;
  std::string text_;
};

// The pieces of a text between separators.
std::vector<std::string_view> pieces(std::string_view text, char separator) {
  std::vector<std::string_view> all;
  for (std::size_t begin = 0;;) {
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
std::vector<Number> numbers_in(std::string_view text) {
  std::vector<Number> all;
  for (const std::string_view piece : pieces(text, ',')) all.push_back(number_in<Number>(piece));
  return all;
}

// The words of one line behind its name, by key; each is taken once.
class Words {
 public:
  explicit Words(std::span<const std::string_view> words) {
    for (const std::string_view word : words) {
      const std::size_t sign = word.find('=');
      check(sign != std::string_view::npos, "given ", in_quotes(word), ", expected KEY=VALUE");
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
    const auto numbers = numbers_in<std::int64_t>(text);
    check(numbers.size() <= 2, "given ", numbers.size(), " extents of ", key, ", expected 1 or 2");
    to = {numbers.front(), numbers.back()};
  }
  Shape take_shape(std::string_view key) {
    const auto extents = numbers_in<std::int64_t>(take(key));
    check(std::ssize(extents) <= Shape::kMaxRank, "given ", extents.size(), " extents, expected at most ",
          Shape::kMaxRank);
    return {extents.data(), static_cast<int>(extents.size())};
  }
  void expect_none() const {
    check(values_.empty(), "given the key ", in_quotes(values_.empty() ? "" : values_.begin()->first),
          ", which is unknown");
  }

 private:
  std::map<std::string_view, std::string_view> values_;
};

// Reads the keys of an operation.
class Reader {
 public:
  Reader(std::string name, Words& words, Arrays& arrays) : name_(std::move(name)), words_(words), arrays_(arrays) {}

  void operator()(Input& o) { o.sample = words_.take_shape("shape"); }
  void operator()(Conv2d& o) {
    read_weight(o.weight, o.bias);
    words_.take("stride", o.stride);
    words_.take("padding", o.padding);
    words_.take("dilation", o.dilation);
    words_.take("groups", o.groups);
  }
  void operator()(Linear& o) { read_weight(o.weight, o.bias); }
  void operator()(Norm& o) {
    const Array rows = array(name_, false, true);
    check(rows.shape.rank() == 2 && (rows.shape[0] == 2 || rows.shape[0] == 3), "given numbers of shape ", rows.shape,
          ", expected (2, C) or (3, C)");
    const auto row = [&rows](std::int64_t i) {
      const auto begin = rows.floats.begin() + i * rows.shape[1];
      return std::vector<float>(begin, begin + rows.shape[1]);
    };
    o = {row(0), row(1), rows.shape[0] == 3 ? row(2) : std::vector<float>()};
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
    o.sizes = numbers_in<float>(words_.take("sizes"));
    int binary = 0;
    words_.take("binary", binary);
    o.binary = binary != 0;
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
  Array array(const std::string& name, bool bytes, bool needed) {
    auto entry = arrays_.extract(name);
    check(!entry.empty() || !needed, "given no numbers ", in_quotes(name));
    if (entry.empty()) return {};
    check(bytes ? entry.mapped().floats.empty() : entry.mapped().bytes.empty(), "given ", in_quotes(name), " as ",
          bytes ? "floats, expected bytes" : "bytes, expected floats");
    return std::move(entry.mapped());
  }
  void read_weight(Weight& w, std::vector<float>& bias) {
    w.shape = words_.take_shape("weight");
    const std::string_view codes = words_.take("codes");
    w.codebook = codes.empty() ? Codebook::signs : codebook_named(codes);
    bias = array(name_ + ".bias", false, false).floats;
    if (w.codebook == Codebook::floats) {
      w.values = array(name_, false, true).floats;
      return;
    }
    w.bits = 1;
    words_.take("bits", w.bits);
    words_.take("magnitudes", w.magnitudes);
    w.scales = array(name_ + ".scale", false, false).floats;
    if (const std::string_view scale = words_.take("scale"); !scale.empty()) w.scales = {number_in<float>(scale)};
    w.values = array(name_ + ".table", false, false).floats;
    w.fields = array(name_, true, true).bytes;
  }
  void read_window(Window& o) {
    words_.take("kernel", o.kernel);
    o.stride = o.kernel;
    words_.take("stride", o.stride);
    words_.take("padding", o.padding);
  }

  const std::string name_;
  Words& words_;
  Arrays& arrays_;
};

// The numbers of nodes, by their names.
using Numbers = std::map<std::string, int, std::less<>>;

std::vector<int> inputs_in(std::string_view from, const Numbers& numbers) {
  const int number = static_cast<int>(numbers.size());
  if (from.empty()) return number == 0 ? std::vector<int>() : std::vector<int>{number - 1};
  std::vector<int> inputs;
  for (const std::string_view name : pieces(from, ',')) {
    if (name.empty() && number > 0) {
      inputs.push_back(number - 1);
      continue;
    }
    const auto found = numbers.find(name);
    check(found != numbers.end(), "given the input ", in_quotes(name), ", expected the name of an earlier node");
    inputs.push_back(found->second);
  }
  return inputs;
}

Node node_in(std::string_view line, const Numbers& numbers, Arrays& arrays) {
  const std::vector<std::string_view> all = pieces(line, ' ');
  check(all.size() >= 2, "expected an operation and a name");
  Words words{std::span(all).subspan(2)};
  Node node{.name = std::string(all[1]), .operation = operation_named(all[0])};
  check(!numbers.contains(node.name), "given the name ", in_quotes(node.name), " twice");
  node.inputs = inputs_in(words.take("from"), numbers);
  std::visit(Reader(node.name, words, arrays), node.operation);
  words.expect_none();
  return node;
}

// The names of a node's inputs, "" for the node before; nothing where that is the only one.
std::string inputs_text(const Model& model, int number) {
  std::string from;
  const std::vector<int>& inputs = model.nodes[static_cast<std::size_t>(number)].inputs;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    from +=
        cat(i == 0 ? "" : ",", inputs[i] + 1 == number ? "" : model.nodes[static_cast<std::size_t>(inputs[i])].name);
  return from;
}

}  // namespace

std::string graph_text(const Model& model, Arrays& arrays) {
  std::string text;
  for (std::size_t number = 0; number < model.nodes.size(); ++number) {
    const Node& node = model.nodes[number];
    text += cat(number == 0 ? "" : "\n", name_of(node.operation), ' ', node.name);
    const std::string from = inputs_text(model, static_cast<int>(number));
    if (!from.empty()) text += " from=" + from;
    Writer writer(node.name, arrays);
    std::visit(writer, node.operation);
    text += writer.text();
  }
  return text;
}

std::vector<Node> parse_graph(std::string_view text, Arrays& arrays) {
  const auto lines = std::ranges::count(text, '\n');
  check(lines < kMostNodes, "given a graph of ", lines + 1, " lines, expected at most ", kMostNodes);
  std::vector<Node> nodes;
  Numbers numbers;
  for (const std::string_view line : pieces(text, '\n')) try {
      nodes.push_back(node_in(line, numbers, arrays));
      const int number = static_cast<int>(numbers.size());
      numbers.emplace(nodes.back().name, number);
    } catch (const Error& e) {
      throw Error(cat("line ", nodes.size() + 1, " of its graph: ", e.what()));
    }
  return nodes;
}

}  // namespace coarsegrad::packed
