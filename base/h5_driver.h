/* The HDF5 file driver under every file that sec_h5_create() makes. HDF5 1.10 does not survive a
 * write that fails: the close fails too, and the process crashes later. This driver therefore never
 * reports a failed write upward; it remembers the first one, writes nothing more, and h5.c asks for
 * it. It also takes the writes through the fault points and syncs the file when it is closed. */
#ifndef SEC_BASE_H5_DRIVER_H
#define SEC_BASE_H5_DRIVER_H

#include <hdf5.h>

/* Puts the driver into a file access list; negative on failure. */
herr_t sec_h5_driver_use(hid_t access_list);

/* errno of the first failed write of a file that is open, or of the file closed last; 0 = none.
 * Files of other drivers have none. */
int sec_h5_driver_error(hid_t file);
int sec_h5_driver_take_closed(void); /* and forgets it */

#endif
