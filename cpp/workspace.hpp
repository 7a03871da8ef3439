// Memory that is kept between calls of one engine.
#pragma once

#include <mutex>
#include <vector>

#include "kernels.hpp"
#include "pages.hpp"

namespace charloom {

// Memory that one call at a time can use. A call that finds it in use takes other memory.
class WorkspaceMemory {
 public:
  WorkspaceMemory() = default;
  ~WorkspaceMemory() {
    for (const Piece& piece : pieces_) free_pages(piece.at);
  }
  WorkspaceMemory(const WorkspaceMemory&) = delete;
  WorkspaceMemory& operator=(const WorkspaceMemory&) = delete;

  std::mutex in_use;

  Workspace workspace() {
    return {this, [](void* self, int slot, std::size_t bytes) {
              return static_cast<WorkspaceMemory*>(self)->take(static_cast<std::size_t>(slot),
                                                               bytes);
            }};
  }

 private:
  struct Piece {
    void* at = nullptr;
    std::size_t bytes = 0;
  };

  void* take(std::size_t slot, std::size_t bytes) {
    if (slot >= pieces_.size()) pieces_.resize(slot + 1);
    Piece& piece = pieces_[slot];
    if (bytes > piece.bytes) {
      free_pages(piece.at);
      piece = {take_pages(bytes), bytes};
      if (piece.at == nullptr) piece = {};
    }
    return piece.at;
  }

  std::vector<Piece> pieces_;
};

}  // namespace charloom
