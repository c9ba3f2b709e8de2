#pragma once
// SHA-256 (FIPS 180-4) of what files hold: proves that a data set or a checkpoint is the one it claims to be.
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>

namespace coarsegrad {

/// The digest of the parts, one after another, as 64 lower-case hexadecimal digits. Throws Error where OpenSSL refuses.
std::string sha256(std::span<const std::span<const std::byte>> parts);
std::string sha256(std::initializer_list<std::span<const std::byte>> parts);

}  // namespace coarsegrad
