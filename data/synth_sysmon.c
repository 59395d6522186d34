/* Sysmon events as flat JSON: header, rendered message, the event's own fields. */
#include "data/synth_slice.h"

#define HEAD(h, id)                                                                                \
    "{\"SourceName\":\"Microsoft-Windows-Sysmon\",\"ProviderGuid\":"                               \
    "\"{5770385f-c22a-43e0-bf4c-06f5698ffbd9}\",\"Level\":\"4\",\"Keywords\":"                     \
    "\"0x8000000000000000\",\"Channel\":\"Microsoft-Windows-Sysmon/Operational\",\"Hostname\":\"", \
        (h)->fqdn, "\",\"TimeCreated\":\"", AT(SYNTH_ISO_MS), "\",\"@timestamp\":\"",              \
        AT(SYNTH_ISO_MS), "\",\"EventID\":" id ",\"Message\":\""
#define SYSMON(time, id, ...) EMIT(SYNTH_F_SYSMON, time, HEAD(i->host, id), __VA_ARGS__, "\"}")
#define NL                    "\\r\\n"
/* One field in the message, and once more as JSON. */
#define M(name, ...) NL name ": ", __VA_ARGS__
#define J(name, ...) "\",\"" name "\":\"", __VA_ARGS__

/* {host-time-low-0000001000}: the same for a program as long as it runs. */
#define GUID(host, started, pid)                                                                   \
    "{", HEXW((host)->guid, 8), "-", HEXW(START(started) >> 16, 4), "-",                           \
        HEXW(START(started) & 0xFFFF, 4), "-", HEXW((pid) >> 2 & 0xFFFF, 4), "-000000001000}"
#define START(us)    ((uint64_t)(s->day->date.epoch + (us) / SYNTH_SECOND))
#define PROCESS_GUID GUID(i->host, i->started, i->pid)

static struct synth_str user_domain(struct synth_slice *s, const struct synth_image *i)
{
    return i->user.n ? s->world->netbios : synth_text("NT AUTHORITY");
}
#define USER user_domain(s, i), "\\\\", i->user.n ? i->user : synth_text("SYSTEM")

void synth_sysmon_create(struct synth_slice *s, int64_t t, const struct synth_image *i,
                         const struct synth_process *p, const char *command,
                         struct synth_str hashes, uint64_t logon_id, uint32_t ppid, bool elevated)
{
    const char *level = i->user.n ? (elevated ? "High" : "Medium") : "System";
    int64_t parent_start = i->started - i->started % SYNTH_HOUR;
    SYSMON(t, "1", "Process Create:", M("RuleName", "-"), M("UtcTime", AT(SYNTH_SPACE_MS)),
           M("ProcessGuid", PROCESS_GUID), M("ProcessId", i->pid), M("Image", p->image),
           M("Description", p->description), M("Product", p->product), M("Company", p->company),
           M("OriginalFileName", p->original), M("CommandLine", command),
           M("CurrentDirectory", "C:\\\\Windows\\\\system32\\\\"), M("User", USER),
           M("LogonGuid", GUID(i->host, parent_start, (uint32_t)logon_id)), M("LogonId", "0x"),
           ((struct synth_hex){logon_id, 0, true}), M("IntegrityLevel", level), M("Hashes", hashes),
           M("ParentProcessGuid", GUID(i->host, parent_start, ppid)), M("ParentProcessId", ppid),
           M("ParentImage", p->parent), M("ParentCommandLine", p->parent_command), J("Task", "1"),
           J("RuleName", "-"), J("UtcTime", AT(SYNTH_SPACE_MS)), J("ProcessGuid", PROCESS_GUID),
           J("ProcessId", i->pid), J("Image", p->image),
           J("FileVersion", "10.0.20348.1 (WinBuild.160101.0800)"),
           J("Description", p->description), J("Product", p->product), J("Company", p->company),
           J("OriginalFileName", p->original), J("CommandLine", command),
           J("CurrentDirectory", "C:\\\\Windows\\\\system32\\\\"), J("User", USER),
           J("LogonGuid", GUID(i->host, parent_start, (uint32_t)logon_id)), J("LogonId", "0x"),
           HEX(logon_id), J("TerminalSessionId", i->user.n ? "1" : "0"), J("IntegrityLevel", level),
           J("Hashes", hashes), J("ParentProcessGuid", GUID(i->host, parent_start, ppid)),
           J("ParentProcessId", ppid), J("ParentImage", p->parent),
           J("ParentCommandLine", p->parent_command), J("ParentUser", USER));
}

void synth_sysmon_conn(struct synth_slice *s, int64_t t, const struct synth_image *i,
                       struct synth_ip to, uint32_t sport, uint32_t dport, struct synth_str to_name)
{
    const char *port_name = dport == 443   ? "https"
                            : dport == 80  ? "http"
                            : dport == 445 ? "microsoft-ds"
                                           : "-";
    SYSMON(
        t, "3", "Network connection detected:", M("RuleName", "-"),
        M("UtcTime", AT(SYNTH_SPACE_MS)), M("ProcessGuid", PROCESS_GUID), M("ProcessId", i->pid),
        M("Image", i->image), M("User", USER), M("Protocol", "tcp"), M("Initiated", "true"),
        M("SourceIsIpv6", "false"), M("SourceIp", i->host->ip), M("SourceHostname", i->host->fqdn),
        M("SourcePort", sport), M("SourcePortName", "-"), M("DestinationIsIpv6", "false"),
        M("DestinationIp", to), M("DestinationHostname", to_name), M("DestinationPort", dport),
        M("DestinationPortName", port_name), J("Task", "3"), J("RuleName", "-"),
        J("UtcTime", AT(SYNTH_SPACE_MS)), J("ProcessGuid", PROCESS_GUID), J("ProcessId", i->pid),
        J("Image", i->image), J("User", USER), J("Protocol", "tcp"), J("Initiated", "true"),
        J("SourceIsIpv6", "false"), J("SourceIp", i->host->ip), J("SourceHostname", i->host->fqdn),
        J("SourcePort", sport), J("SourcePortName", "-"), J("DestinationIsIpv6", "false"),
        J("DestinationIp", to), J("DestinationHostname", to_name), J("DestinationPort", dport),
        J("DestinationPortName", port_name));
}

void synth_sysmon_load(struct synth_slice *s, int64_t t, const struct synth_image *i, uint32_t dll)
{
    const char *loaded = synth_dlls[dll], *name = strrchr(loaded, '\\') + 1;
    struct synth_str hashes = s->world->hashes[synth_n_processes + dll];
    SYSMON(t, "7", "Image loaded:", M("RuleName", "-"), M("UtcTime", AT(SYNTH_SPACE_MS)),
           M("ProcessGuid", PROCESS_GUID), M("ProcessId", i->pid), M("Image", i->image),
           M("ImageLoaded", loaded), M("Hashes", hashes), M("Signed", "true"),
           M("Signature", "Microsoft Windows"), M("SignatureStatus", "Valid"), M("User", USER),
           J("Task", "7"), J("RuleName", "-"), J("UtcTime", AT(SYNTH_SPACE_MS)),
           J("ProcessGuid", PROCESS_GUID), J("ProcessId", i->pid), J("Image", i->image),
           J("ImageLoaded", loaded), J("FileVersion", "10.0.20348.1607 (WinBuild.160101.0800)"),
           J("Product", "Microsoft\u00ae Windows\u00ae Operating System"),
           J("Company", "Microsoft Corporation"), J("Description", synth_dll_titles[dll]),
           J("OriginalFileName", name), J("Hashes", hashes), J("Signed", "true"),
           J("Signature", "Microsoft Windows"), J("SignatureStatus", "Valid"), J("User", USER));
}

void synth_sysmon_access(struct synth_slice *s, int64_t t, const struct synth_image *i,
                         const char *target, uint32_t target_pid, const char *mask)
{
    uint64_t r = synth_next(&s->rng);
#define TRACE                                                                                      \
    "C:\\\\Windows\\\\SYSTEM32\\\\ntdll.dll+", HEX(0x9d000 | (r & 0xFFF)),                         \
        "|C:\\\\Windows\\\\System32\\\\KERNELBASE.dll+", HEX(0x2b000 | (r >> 12 & 0xFFF)), "|",    \
        i->image, "+", HEX(0x1000 | (r >> 24 & 0xFFFFF))
#define TARGET GUID(i->host, (int64_t)0, target_pid)
    SYSMON(t, "10", "Process accessed:", M("RuleName", "-"), M("UtcTime", AT(SYNTH_SPACE_MS)),
           M("SourceProcessGUID", PROCESS_GUID), M("SourceProcessId", i->pid),
           M("SourceImage", i->image), M("TargetProcessGUID", TARGET),
           M("TargetProcessId", target_pid), M("TargetImage", target), M("GrantedAccess", mask),
           M("CallTrace", TRACE), M("SourceUser", USER), J("Task", "10"), J("RuleName", "-"),
           J("UtcTime", AT(SYNTH_SPACE_MS)), J("SourceProcessGUID", PROCESS_GUID),
           J("SourceProcessId", i->pid), J("SourceThreadId", i->pid + 1200),
           J("SourceImage", i->image), J("TargetProcessGUID", TARGET),
           J("TargetProcessId", target_pid), J("TargetImage", target), J("GrantedAccess", mask),
           J("CallTrace", TRACE), J("SourceUser", USER), J("TargetUser", "NT AUTHORITY\\\\SYSTEM"));
}

void synth_sysmon_file(struct synth_slice *s, int64_t t, const struct synth_image *i,
                       const char *folder, const char *name, uint32_t number, const char *ending)
{
#define TARGET_FILE folder, name, number, ending
    SYSMON(t, "11", "File created:", M("RuleName", "-"), M("UtcTime", AT(SYNTH_SPACE_MS)),
           M("ProcessGuid", PROCESS_GUID), M("ProcessId", i->pid), M("Image", i->image),
           M("TargetFilename", TARGET_FILE), M("CreationUtcTime", AT(SYNTH_SPACE_MS)),
           M("User", USER), J("Task", "11"), J("RuleName", "-"), J("UtcTime", AT(SYNTH_SPACE_MS)),
           J("ProcessGuid", PROCESS_GUID), J("ProcessId", i->pid), J("Image", i->image),
           J("TargetFilename", TARGET_FILE), J("CreationUtcTime", AT(SYNTH_SPACE_MS)),
           J("User", USER));
}

void synth_sysmon_registry(struct synth_slice *s, int64_t t, const struct synth_image *i,
                           const char *key, struct synth_str tail, const char *details)
{
    SYSMON(t, "13", "Registry value set:", M("RuleName", "-"), M("EventType", "SetValue"),
           M("UtcTime", AT(SYNTH_SPACE_MS)), M("ProcessGuid", PROCESS_GUID), M("ProcessId", i->pid),
           M("Image", i->image), M("TargetObject", key), tail, M("Details", details),
           M("User", USER), J("Task", "13"), J("RuleName", "-"), J("EventType", "SetValue"),
           J("UtcTime", AT(SYNTH_SPACE_MS)), J("ProcessGuid", PROCESS_GUID), J("ProcessId", i->pid),
           J("Image", i->image), J("TargetObject", key), tail, J("Details", details),
           J("User", USER));
}

void synth_sysmon_dns(struct synth_slice *s, int64_t t, const struct synth_image *i,
                      struct synth_str query, struct synth_ip answer)
{
    SYSMON(t, "22", "Dns query:", M("RuleName", "-"), M("UtcTime", AT(SYNTH_SPACE_MS)),
           M("ProcessGuid", PROCESS_GUID), M("ProcessId", i->pid), M("QueryName", query),
           M("QueryStatus", "0"), M("QueryResults", "::ffff:"), answer, ";", M("Image", i->image),
           J("Task", "22"), J("RuleName", "-"), J("UtcTime", AT(SYNTH_SPACE_MS)),
           J("ProcessGuid", PROCESS_GUID), J("ProcessId", i->pid), J("QueryName", query),
           J("QueryStatus", "0"), J("QueryResults", "::ffff:"), answer, ";", J("Image", i->image),
           J("User", USER));
}
