// Lets other Python threads run while kernels compute, even while the interpreter shuts down.
#pragma once

#include <Python.h>

#include <chrono>
#include <thread>

namespace charloom {

// Releases the GIL, and takes it back at the end of its scope.
//
// If the interpreter has begun to shut down, a daemon thread that asks for the GIL must never
// return to Python. Up to Python 3.13, PyEval_RestoreThread then ends the thread with pthread_exit,
// which glibc implements by unwinding the stack. In this destructor, which is noexcept, that would
// call std::terminate. So it is caught here, and the thread sleeps until the process ends, as
// Python 3.14 does. Nothing that the thread uses is released, so it stays valid.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil() {
    try {
      PyEval_RestoreThread(state_);
    } catch (...) {
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

}  // namespace charloom
