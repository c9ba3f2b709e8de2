#include "core/base/sha256.h"

#include <openssl/evp.h>

#include <array>
#include <memory>

#include "core/base/check.h"

namespace coarsegrad {

std::string sha256(std::span<const std::span<const std::byte>> parts) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  bool ok = context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  for (const auto& part : parts) ok = ok && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
  std::array<unsigned char, 32> digest{};
  ok = ok && EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) == 1;
  check(ok, "sha256: the OpenSSL library refuses to compute SHA-256");

  std::string hex;
  for (const unsigned char byte : digest) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

std::string sha256(std::initializer_list<std::span<const std::byte>> parts) {
  return sha256(std::span(parts.begin(), parts.size()));
}

}  // namespace coarsegrad
