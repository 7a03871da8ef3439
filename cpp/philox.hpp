// The counter-based random number generator Philox4x64-10, equal to that of charloom.random
// (spec/mathematics.md: Random numbers), and the dropout masks made with it (spec/mathematics.md:
// Dropout).
#pragma once

#include <cstdint>

#include "simd.hpp"

namespace {

constexpr std::uint64_t dropout_purpose = 5;

struct Block {
  std::uint64_t word[4];
};

inline Block philox(std::uint64_t seed, std::uint64_t purpose, std::uint64_t c0, std::uint64_t c1,
                    std::uint64_t c2, std::uint64_t c3) {
  std::uint64_t k0 = seed, k1 = purpose;
  for (int round = 0; round < 10; ++round) {
    const auto high = static_cast<unsigned __int128>(0xD2E7470EE14C6C93u) * c0;
    const auto low = static_cast<unsigned __int128>(0xCA5A826395121157u) * c2;
    const std::uint64_t n0 = static_cast<std::uint64_t>(low >> 64) ^ c1 ^ k0;
    const std::uint64_t n2 = static_cast<std::uint64_t>(high >> 64) ^ c3 ^ k1;
    c0 = n0;
    c1 = static_cast<std::uint64_t>(low);
    c2 = n2;
    c3 = static_cast<std::uint64_t>(high);
    k0 += 0x9E3779B97F4A7C15u;
    k1 += 0xBB67AE8584CAA73Bu;
  }
  return {{c0, c1, c2, c3}};
}

// Decides which units are dropped. Each unit has 16 random bits: four units per word, sixteen per
// block.
template <typename T>
struct Dropout {
  std::uint64_t seed = 0, update = 0;
  std::uint32_t threshold = 0;
  T scale = 1;

  Dropout() = default;
  Dropout(double share, std::uint64_t seed_, std::uint64_t update_) : seed(seed_), update(update_) {
    const double fields = share * 65536.0;
    threshold = static_cast<std::uint32_t>(__builtin_nearbyint(fields));
    if (threshold > 65535) threshold = 65535;
    scale = static_cast<T>(65536.0 / (65536.0 - threshold));
  }
  bool any() const { return threshold > 0; }

  // Write the factors of the sixteen units from unit 16 * block on.
  void factors(int layer, int stream, int time, int block, T (&to)[16]) const {
    const Block bits = philox(seed, dropout_purpose, static_cast<std::uint64_t>(block) + 1,
                              static_cast<std::uint64_t>(time),
                              static_cast<std::uint64_t>(layer) << 32 |
                                  static_cast<std::uint64_t>(stream),
                              update);
    for (int i = 0; i < 16; ++i)
      to[i] = (bits.word[i / 4] >> (16 * (i % 4)) & 0xFFFF) < threshold ? T(0) : scale;
  }
};

}  // namespace
