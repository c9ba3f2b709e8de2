#pragma once
// The types that the elements of a tensor may have.
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace coarsegrad {

/// What the elements of a tensor are: real numbers, which mathematics is done with, or whole numbers: labels, the bytes
/// of images, the codes of quantized values.
enum class ElementType : std::uint8_t { float32, float64, uint8, int8, int32 };

/// The element type that C++ calls T; does not compile for any other T.
template <class T>
constexpr ElementType element_type_of() {
  if constexpr (std::is_same_v<T, float>)
    return ElementType::float32;
  else if constexpr (std::is_same_v<T, double>)
    return ElementType::float64;
  else if constexpr (std::is_same_v<T, std::uint8_t>)
    return ElementType::uint8;
  else if constexpr (std::is_same_v<T, std::int8_t>)
    return ElementType::int8;
  else {
    static_assert(std::is_same_v<T, std::int32_t>, "no element type of tensors");
    return ElementType::int32;
  }
}

/// Bytes of one element.
constexpr std::size_t element_size(ElementType type) {
  switch (type) {
    case ElementType::float64:
      return 8;
    case ElementType::uint8:
    case ElementType::int8:
      return 1;
    default:
      return 4;
  }
}

/// "float32", "uint8", ...
constexpr const char* element_type_name(ElementType type) {
  constexpr const char* kNames[] = {"float32", "float64", "uint8", "int8", "int32"};
  return kNames[static_cast<std::size_t>(type)];
}

}  // namespace coarsegrad
