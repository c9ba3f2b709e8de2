#pragma once
// Large arrays that need not be in memory as a whole.
#include <algorithm>
#include <cstdint>

#include "core/base/memory.h"
#include "core/base/parallel.h"

namespace coarsegrad {

/// The elements of an array, which are in memory, or are computed piece by piece when they are read. Refers to the
/// array and owns nothing.
template <class T>
class Elements {
 public:
  /// Computes elements [begin, end) of `array` into `out`; called from several threads at once. Both lie on borders
  /// that the reader and the array agree on: rows of an image, at least.
  using Read = void (*)(const void* array, std::int64_t begin, std::int64_t end, T* out);

  /// Elements in memory; null stands for an array that is left out.
  Elements(const T* values) : values_(values) {}  // NOLINT(google-explicit-constructor): arrays are elements
  /// Elements that `reader` computes from `array`.
  Elements(const void* array, Read reader) : array_(array), read_(reader) {}

  /// Whether values() are all of them; they have to be read otherwise.
  bool there() const { return !read_; }
  /// The first element where they are there, else null.
  const T* values() const { return values_; }
  /// Copies or computes elements [begin, end) into `out`.
  void read(std::int64_t begin, std::int64_t end, T* out) const {
    if (there())
      std::copy_n(values_ + begin, end - begin, out);
    else
      read_(array_, first_ + begin, first_ + end, out);
  }
  /// Those from element `first` on; null of null.
  Elements from(std::int64_t first) const {
    Elements rest = *this;
    rest.first_ += first;
    if (values_) rest.values_ += first;
    return rest;
  }

 private:
  const T* values_ = nullptr;
  const void* array_ = nullptr;
  Read read_ = nullptr;
  std::int64_t first_ = 0;  // of those that are read
};

/// Where the elements of an array are written to: memory, or somebody who takes them piece by piece. Refers to the array
/// and owns nothing.
template <class T>
class ElementSink {
 public:
  /// Takes elements [begin, end) of `array` from `from`; called from several threads at once.
  using Write = void (*)(void* array, std::int64_t begin, std::int64_t end, const T* from);

  /// Elements in memory; null for an array that nobody wants.
  ElementSink(T* values) : values_(values) {}  // NOLINT(google-explicit-constructor): arrays are sinks
  /// Elements that `writer` takes for `array`.
  ElementSink(void* array, Write writer) : array_(array), write_(writer) {}

  /// Whether values() can be written to; write() is to be called otherwise.
  bool there() const { return !write_; }
  /// The first element where they are there, else null.
  T* values() const { return values_; }
  /// Hands over elements [begin, end).
  void write(std::int64_t begin, std::int64_t end, const T* from) const {
    if (there())
      std::copy_n(from, end - begin, values_ + begin);
    else
      write_(array_, begin, end, from);
  }

 private:
  T* values_ = nullptr;
  void* array_ = nullptr;
  Write write_ = nullptr;
};

/// Some consecutive elements as an array: in place where they are there (null for null), else in working space.
template <class T>
class ElementWindow {
 public:
  /// Elements [begin, end) of `all`, read now where they are not there.
  ElementWindow(const Elements<T>& all, std::int64_t begin, std::int64_t end)
      : own_(all.there() ? 0 : static_cast<std::size_t>(end - begin)),
        values_(all.there() ? (all.values() ? all.values() + begin : nullptr) : own_.data()) {
    if (!all.there()) all.read(begin, end, own_.data());
  }
  /// Element `begin` and those behind it.
  const T* data() const { return values_; }

 private:
  const Scratch<T> own_;
  const T* values_;
};

/// Some consecutive elements to be written as an array: in place where they are there (null for null), else in working
/// space that is handed over when the window ends.
template <class T>
class SinkWindow {
 public:
  /// Elements [begin, end) of `all`.
  SinkWindow(const ElementSink<T>& all, std::int64_t begin, std::int64_t end)
      : all_(all),
        begin_(begin),
        end_(end),
        own_(all.there() ? 0 : static_cast<std::size_t>(end - begin)),
        values_(all.there() ? (all.values() ? all.values() + begin : nullptr) : own_.data()) {}
  /// Not copied: each hands over once.
  SinkWindow(const SinkWindow&) = delete;
  SinkWindow& operator=(const SinkWindow&) = delete;
  ~SinkWindow() {
    if (!all_.there()) all_.write(begin_, end_, own_.data());
  }
  /// Element `begin` and those behind it.
  T* data() const { return values_; }

 private:
  const ElementSink<T> all_;
  std::int64_t begin_, end_;
  const Scratch<T> own_;
  T* values_;
};

}  // namespace coarsegrad
