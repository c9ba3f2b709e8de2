#pragma once
// Text for the terminal: a small table (aligned columns, numbers to the right, text to the left), lines.
#include <concepts>
#include <cstddef>
#include <string>
#include <vector>

namespace coarsegrad::experiments {

/// "0.1235": `digits` significant digits, no exponent between 1e-4 and 1e9; "-" for NaN.
std::string number(double value, int digits = 4);

/// `text` broken at blanks into lines of at most `width` columns that begin at column `indent`, the first one as it is.
std::string wrapped(const std::string& text, std::size_t indent, std::size_t width);

class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header);

  /// One cell for each column: text, integers, or floating-point numbers (written by number()).
  /// Throws Error when the number of cells is wrong.
  template <class... Cells>
  void row(const Cells&... cells) {
    add_row({cell(cells)...});
  }
  /// The same with cells that are written already; they count as numbers when they begin like one.
  void add_row(std::vector<std::string> cells);
  /// Header, rule and rows, each line ended.
  std::string str() const;

 private:
  static std::string cell(const std::string& text) { return text; }
  template <std::integral T>
  static std::string cell(T value) {
    return std::to_string(value);
  }
  template <std::floating_point T>
  static std::string cell(T value) {
    return number(value);
  }

  std::vector<std::vector<std::string>> rows_;  // the first one is the header
};

}  // namespace coarsegrad::experiments
