# CUDA: SECENC_CUDA is auto (on where nvcc is found), on or off. SECENC_NVCC is the compiler, or
# empty; SECENC_CUDA_FOUND says that the library sec_cuda is to be built.
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
if(SECENC_CUDA MATCHES "^(on|ON)$" AND (SECENC_SANITIZE OR SECENC_FUZZ))
  message(FATAL_ERROR "SECENC_CUDA=on does not go with sanitizers: the emulation is what they test")
endif()
# The processor builds of sanitizers and fuzzing have nothing to say about a GPU.
if(SECENC_NVCC AND NOT SECENC_CUDA MATCHES "^(off|OFF)$" AND NOT SECENC_SANITIZE
    AND NOT SECENC_FUZZ)
  set(SECENC_CUDA_FOUND ON)
  # Code for each of these, and PTX of the last one for GPUs to come.
  set(CMAKE_CUDA_ARCHITECTURES "80-real;90-real;100-real;120" CACHE STRING
    "GPU architectures to compile for")
  set(CMAKE_CUDA_COMPILER ${SECENC_NVCC})
  set(CMAKE_CUDA_STANDARD 17)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -lineinfo")
  enable_language(CUDA)
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 13.0)
    message(FATAL_ERROR "CUDA ${CMAKE_CUDA_COMPILER_VERSION} (${SECENC_NVCC}): version 13 or newer "
      "is needed; set CUDA_HOME to it, or build with -DSECENC_CUDA=off")
  endif()
  message(STATUS "CUDA: ${CMAKE_CUDA_COMPILER_VERSION}, ${CMAKE_CUDA_ARCHITECTURES}")
else()
  message(STATUS "CUDA: not built (SECENC_CUDA=${SECENC_CUDA}, nvcc: ${SECENC_NVCC})")
endif()

# sec_cuda: the backend, with the choice of backends that knows it. Linked before sec_kernels, whose
# own copy of backend.c knows the processor only. The CUDA runtime is linked in, the driver and
# cuBLASLt are loaded when asked for: the program starts without them.
function(sec_cuda_library)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cuda/*.cu)
  add_library(sec_cuda STATIC ${sources} ${PROJECT_SOURCE_DIR}/kernels/backend.c)
  target_include_directories(sec_cuda PUBLIC ${PROJECT_SOURCE_DIR})
  target_compile_definitions(sec_cuda PRIVATE SECENC_HAVE_CUDA _GNU_SOURCE)
  set_target_properties(sec_cuda PROPERTIES CUDA_RUNTIME_LIBRARY Static)
  target_compile_options(sec_cuda PRIVATE
    $<$<COMPILE_LANGUAGE:C>:-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes>)
  if(SECENC_WERROR)
    target_compile_options(sec_cuda PRIVATE $<$<COMPILE_LANGUAGE:C>:-Werror>
      $<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>)
  endif()
  target_link_libraries(sec_cuda PUBLIC sec_kernels sec_base ${CMAKE_DL_LIBS})
endfunction()

# A program with the CUDA backend, where there is one. Call it before sec_kernels is linked.
function(sec_link_cuda target)
  if(NOT TARGET sec_cuda)
    return()
  endif()
  target_link_libraries(${target} PRIVATE sec_cuda)
  get_filename_component(bin ${SECENC_NVCC} REALPATH)
  get_filename_component(bin ${bin} DIRECTORY)
  get_filename_component(libraries ${bin}/../lib64 REALPATH)
  set_property(TARGET ${target} APPEND PROPERTY BUILD_RPATH ${libraries})
endfunction()
