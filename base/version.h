/* The one place that names the version. */
#ifndef SEC_BASE_VERSION_H
#define SEC_BASE_VERSION_H
#define SEC_VERSION "0.1.0"
#endif
