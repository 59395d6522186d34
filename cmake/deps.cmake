# External libraries, one interface target each: sec_dep_NAME.
# Every one of them is a Debian package; tools/deps lists the package names.
find_package(Threads REQUIRED)
if(SECENC_FUZZ) # the fuzz targets do without, and clang's OpenMP is a package of its own
  add_library(OpenMP::OpenMP_C INTERFACE IMPORTED)
else()
  find_package(OpenMP REQUIRED COMPONENTS C)
endif()
find_package(PkgConfig REQUIRED)

foreach(dep zstd:libzstd xxhash:libxxhash isal:libisal zlib:zlib yaml:yaml-0.1 cjson:libcjson
    crypto:libcrypto pcre2:libpcre2-8)
  string(REPLACE ":" ";" pair ${dep})
  list(GET pair 0 name)
  list(GET pair 1 module)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${module})
  add_library(sec_dep_${name} INTERFACE)
  target_link_libraries(sec_dep_${name} INTERFACE PkgConfig::${name})
endforeach()

set(HDF5_PREFER_PARALLEL OFF)
find_package(HDF5 REQUIRED COMPONENTS C)
add_library(sec_dep_hdf5 INTERFACE)
target_include_directories(sec_dep_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_compile_definitions(sec_dep_hdf5 INTERFACE ${HDF5_C_DEFINITIONS})
target_link_libraries(sec_dep_hdf5 INTERFACE ${HDF5_C_LIBRARIES})

# Several ranks, by base/ranks.c alone. Without MPI everything works as one rank.
find_package(MPI COMPONENTS C)
add_library(sec_dep_mpi INTERFACE)
if(MPI_C_FOUND)
  target_compile_definitions(sec_dep_mpi INTERFACE SECENC_MPI)
  target_link_libraries(sec_dep_mpi INTERFACE MPI::MPI_C)
endif()
