# 32-bit x86 programs on a 64-bit system (Debian's gcc-multilib).
set(CMAKE_C_FLAGS_INIT -m32)
