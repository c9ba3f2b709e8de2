#pragma once
// What a test can know of the sanitizers that it runs under. g++ defines a macro, clang a feature.
namespace coarsegrad::testing {

/// Whether the address sanitizer is on: its allocator maps memory itself, keeps what was freed for a while, and its
/// shadow lies beyond every limit of address space.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitizer = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
#else
inline constexpr bool kAddressSanitizer = false;
#endif

}  // namespace coarsegrad::testing
