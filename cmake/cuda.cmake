# CUDA: SECENC_CUDA is auto (on where nvcc is found), on or off. Sets SECENC_NVCC, and
# SECENC_CUDA_FOUND when the library is to be built with the CUDA backend.
set(SECENC_CUDA auto CACHE STRING "Build the CUDA backend: auto, on or off")
set_property(CACHE SECENC_CUDA PROPERTY STRINGS auto on off)
set(SECENC_CUDA_FOUND OFF)
if(NOT SECENC_CUDA MATCHES "^(auto|on|off|ON|OFF)$")
  message(FATAL_ERROR "SECENC_CUDA is \"${SECENC_CUDA}\": use auto, on or off")
endif()
find_program(SECENC_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH PATH_SUFFIXES bin
  PATHS /usr/local/cuda/bin)
if(NOT SECENC_NVCC)
  set(SECENC_NVCC "")
endif()
if(SECENC_CUDA MATCHES "^(on|ON)$" AND NOT SECENC_NVCC)
  message(FATAL_ERROR "SECENC_CUDA=on, but there is no nvcc: install the CUDA 13 toolkit, set "
    "CUDA_HOME, or build with -DSECENC_CUDA=off")
endif()
if(SECENC_NVCC AND NOT SECENC_CUDA MATCHES "^(off|OFF)$")
  set(SECENC_CUDA_FOUND ON)
  message(STATUS "CUDA: ${SECENC_NVCC}")
else()
  message(STATUS "CUDA: not built (SECENC_CUDA=${SECENC_CUDA}, nvcc: ${SECENC_NVCC})")
endif()
