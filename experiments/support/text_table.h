#pragma once
// Text for the terminal: numbers, wrapped lines, a small table.
#include <concepts>
#include <cstddef>
#include <string>
#include <vector>

namespace coarsegrad::experiments {

/// A number as text, "0.1235": `digits` significant digits, no exponent between 1e-4 and 1e9; "-" for NaN.
std::string number(double value, int digits = 4);

/// `text` broken at blanks into lines of at most `width` columns that begin at column `indent`, the first one as it is.
std::string wrapped(const std::string& text, std::size_t indent, std::size_t width);

/// A table with aligned columns, numbers to the right, text to the left.
class TextTable {
 public:
  /// One name for each column.
  explicit TextTable(std::vector<std::string> header);

  /// Adds a row with one cell for each column: text, integers, or floating-point numbers (written by number()).
  /// Throws Error when the number of cells is wrong.
  template <class... Cells>
  void row(const Cells&... cells) {
    add_row({cell(cells)...});
  }
  /// Adds a row of cells that are texts already; those that begin like a number are aligned as numbers. Throws Error
  /// when the number of cells is wrong.
  void add_row(std::vector<std::string> cells);
  /// The table as text: header, a line of dashes and the rows, each line ended.
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
