# sec_module(NAME DEPS...): one static library sec_NAME from every .c file of the current directory
# and of its sub-directories. A file's instruction set is in its name:
#   *_avx2.c  *_avx512.c  *_avx512bf16.c   (chosen at run time by base/cpu.h)
function(sec_module name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
  if(NOT sources)
    add_library(sec_${name} INTERFACE)
    target_include_directories(sec_${name} INTERFACE ${PROJECT_SOURCE_DIR})
    target_link_libraries(sec_${name} INTERFACE ${ARGN})
    return()
  endif()
  add_library(sec_${name} STATIC ${sources})
  target_include_directories(sec_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(sec_${name} PUBLIC ${ARGN})
  sec_compile_options(sec_${name})
  foreach(source ${sources})
    if(source MATCHES "_avx512bf16\\.c$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mavx512bf16;-mfma;-mavx2;-mf16c")
    elseif(source MATCHES "_avx512\\.c$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "-mavx512f;-mavx512bw;-mavx512vl;-mavx512dq;-mfma;-mavx2;-mf16c")
    elseif(source MATCHES "_avx2\\.c$")
      set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS
        "-mavx2;-mfma;-mf16c;-mbmi;-mbmi2")
    endif()
  endforeach()
endfunction()

# Warnings, sanitizers and feature macros shared by every target.
function(sec_compile_options target)
  target_compile_definitions(${target} PRIVATE _GNU_SOURCE SECENC_VERSION="${PROJECT_VERSION}")
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Wno-unused-parameter -ffp-contract=off)
  if(SECENC_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(SECENC_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${SECENC_SANITIZE} -fno-omit-frame-pointer
      -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${SECENC_SANITIZE})
  endif()
  if(SECENC_FUZZ)
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
  endif()
endfunction()
