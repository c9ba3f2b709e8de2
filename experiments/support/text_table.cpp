#include "experiments/support/text_table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sstream>

#include "core/base/check.h"

namespace coarsegrad::experiments {
namespace {

/// Characters, not bytes: continuation bytes of UTF-8 take no room.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](unsigned char c) { return (c & 0xC0) != 0x80; }));
}

bool is_number(const std::string& text) {
  for (const char* special : {"-", "inf", "-inf"})
    if (text == special) return true;
  const std::size_t at = text.find_first_not_of("+-");
  return at <= 1 && text[at] >= '0' && text[at] <= '9';
}

}  // namespace

std::string wrapped(const std::string& text, std::size_t indent, std::size_t width) {
  std::string out;
  std::size_t column = indent;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (column > indent && column + 1 + word.size() > width) {
      out.append(1, '\n').append(indent, ' ');
      column = indent;
    }
    if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out;
}

std::string number(double value, int digits) {
  if (std::isnan(value)) return "-";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  char text[64];
  const double size = std::abs(value);
  if (value == 0 || (size >= 1e-4 && size < 1e9)) {
    const int before = value == 0 ? 1 : static_cast<int>(std::floor(std::log10(size))) + 1;
    std::snprintf(text, sizeof text, "%.*f", std::max(0, digits - before), value);
  } else {
    std::snprintf(text, sizeof text, "%.*e", std::max(0, digits - 1), value);
  }
  return text;
}

TextTable::TextTable(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

void TextTable::add_row(std::vector<std::string> cells) {
  check(cells.size() == rows_[0].size(), "TextTable: given ", cells.size(), " cells, expected ", rows_[0].size());
  rows_.push_back(std::move(cells));
}

std::string TextTable::str() const {
  const std::size_t columns = rows_[0].size();
  std::vector<std::size_t> widths(columns, 0);
  std::vector<bool> right(columns, rows_.size() > 1);
  for (std::size_t r = 0; r < rows_.size(); ++r)
    for (std::size_t c = 0; c < columns; ++c) {
      widths[c] = std::max(widths[c], width_of(rows_[r][c]));
      if (r > 0 && !is_number(rows_[r][c])) right[c] = false;
    }
  std::string text;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    for (std::size_t c = 0; c < columns; ++c) {
      const std::string blanks(widths[c] - width_of(rows_[r][c]), ' ');
      line += (c ? "  " : "") + (right[c] ? blanks + rows_[r][c] : rows_[r][c] + blanks);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
    if (r > 0) continue;
    for (std::size_t c = 0; c < columns; ++c) text += (c ? "  " : "") + std::string(widths[c], '-');
    text += "\n";
  }
  return text;
}

}  // namespace coarsegrad::experiments
