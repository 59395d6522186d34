/* The version, as CMakeLists.txt names it. */
#ifndef SEC_BASE_VERSION_H
#define SEC_BASE_VERSION_H
#define SEC_VERSION SECENC_VERSION
#endif
