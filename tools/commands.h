/* The table of commands, for main.c's dispatch and for what is generated from it: help, completion,
 * man page. Constant data; nothing here can fail. */
#ifndef SEC_TOOLS_COMMANDS_H
#define SEC_TOOLS_COMMANDS_H

#include "base/opt.h"

struct sec_command_entry {
    const char *group; /* heading in the list of commands; entries of a group are adjacent */
    const struct sec_command *command;
};

/* --device of the commands that compute; T has a char *device. An empty default leaves it to the
 * configuration. */
#define SEC_OPT_DEVICE(T, value)                                                                   \
    {                                                                                              \
        "device", 0, SEC_T_STRING, false, offsetof(T, device), value, 0, 0, NULL, "auto|cuda|cpu", \
            "where the arithmetic runs; auto: the GPU if there is one, see secenc doctor"          \
    }

extern const struct sec_command_entry sec_commands[];
extern const size_t sec_n_commands;

#endif
