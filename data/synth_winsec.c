/* Windows Security events as flat JSON, the form log forwarders send: header, rendered message (the
 * explanatory paragraphs left out, as most forwarders do), then the event's own fields. */
#include "data/synth_slice.h"

#define SUCCESS "0x8020000000000000"
#define FAILURE "0x8010000000000000"
#define HEAD(h, id, keywords)                                                                      \
    "{\"SourceName\":\"Microsoft-Windows-Security-Auditing\",\"ProviderGuid\":"                    \
    "\"{54849625-5478-4994-a5ba-3e3b0328c30d}\",\"Level\":\"0\",\"Keywords\":\"" keywords          \
    "\",\"Channel\":\"Security\",\"Hostname\":\"",                                                 \
        (h)->fqdn, "\",\"TimeCreated\":\"", AT(SYNTH_ISO_MS), "\",\"@timestamp\":\"",              \
        AT(SYNTH_ISO_MS), "\",\"EventID\":" id ",\"Message\":\""
#define WIN(time, h, id, keywords, ...)                                                            \
    EMIT(SYNTH_F_WINSEC, time, HEAD(h, id, keywords), __VA_ARGS__, "\"}")
#define NL  "\\r\\n"
#define TAB "\\t"

/* The account blocks of a message and of the fields. */
#define MESSAGE_SUBJECT(title, a)                                                                  \
    NL NL title ":" NL TAB "Security ID:" TAB TAB, (a)->sid, NL TAB "Account Name:" TAB TAB,       \
        (a)->name, NL TAB "Account Domain:" TAB TAB, (a)->domain, NL TAB "Logon ID:" TAB TAB "0x", \
        ((struct synth_hex){(a)->logon_id, 0, true})
#define FIELDS(prefix, a)                                                                          \
    "\",\"" prefix "UserSid\":\"", (a)->sid, "\",\"" prefix "UserName\":\"", (a)->name,            \
        "\",\"" prefix "DomainName\":\"", (a)->domain, "\",\"" prefix "LogonId\":\"0x",            \
        HEX((a)->logon_id)

struct synth_account synth_person_account(const struct synth_world *w, const struct synth_person *p,
                                          uint64_t logon_id)
{
    return (struct synth_account){p->sid, p->user, w->netbios, logon_id};
}

static struct synth_account system_account(const struct synth_world *w)
{
    return (struct synth_account){{"S-1-5-18", 8}, {"SYSTEM", 6}, w->netbios, 0x3e7};
}

void synth_logon(struct synth_slice *s, int64_t t, const struct synth_host *h,
                 const struct synth_account *a, int type, struct synth_str workstation,
                 struct synth_ip from, uint32_t port)
{
    const struct synth_account subject =
        type == 3 ? (struct synth_account){{"S-1-0-0", 7}, {"-", 1}, {"-", 1}, 0}
                  : system_account(s->world);
    bool network = type == 3;
    uint64_t guid = synth_next(&s->rng), guid2 = synth_next(&s->rng);
    uint32_t pid = network ? 0 : type == 5 ? 0x2a4 : synth_range(&s->rng, 120, 900) * 4;
    const char *process = network     ? "-"
                          : type == 5 ? "C:\\\\Windows\\\\System32\\\\services.exe"
                                      : "C:\\\\Windows\\\\System32\\\\svchost.exe";
    const char *logon_process = network ? "Kerberos" : type == 5 ? "Advapi  " : "User32 ";
    const char *package = network ? "Kerberos" : "Negotiate";
    WIN(t, h, "4624", SUCCESS, "An account was successfully logged on.",
        MESSAGE_SUBJECT("Subject", &subject),
        NL NL "Logon Information:" NL TAB "Logon Type:" TAB TAB, type,
        NL TAB "Restricted Admin Mode:" TAB "-" NL TAB "Virtual Account:" TAB TAB "No" NL TAB
               "Elevated Token:" TAB TAB "Yes" NL NL "Impersonation Level:" TAB TAB "Impersonation",
        MESSAGE_SUBJECT("New Logon", a), NL TAB "Logon GUID:" TAB TAB "{", HEXW(guid >> 32, 8), "-",
        HEXW(guid >> 16 & 0xFFFF, 4), "-", HEXW(guid & 0xFFFF, 4), "-", HEXW(guid2 >> 48, 4), "-",
        HEXW(guid2 & 0xFFFFFFFFFFFF, 12),
        "}" NL NL "Process Information:" NL TAB "Process ID:" TAB TAB "0x", HEX(pid),
        NL TAB "Process Name:" TAB TAB, process,
        NL NL "Network Information:" NL TAB "Workstation Name:" TAB, workstation,
        NL TAB "Source Network Address:" TAB, from, NL TAB "Source Port:" TAB TAB, port,
        NL NL "Detailed Authentication Information:" NL TAB "Logon Process:" TAB TAB, logon_process,
        NL TAB "Authentication Package:" TAB, package,
        NL TAB "Transited Services:" TAB "-" NL TAB "Package Name (NTLM only):" TAB "-" NL TAB
               "Key Length:" TAB TAB "0\",\"Task\":\"12544",
        FIELDS("Subject", &subject), FIELDS("Target", a), "\",\"LogonType\":\"", type,
        "\",\"LogonProcessName\":\"", logon_process, "\",\"AuthenticationPackageName\":\"", package,
        "\",\"WorkstationName\":\"", workstation, "\",\"LogonGuid\":\"{", HEXW(guid >> 32, 8), "-",
        HEXW(guid >> 16 & 0xFFFF, 4), "-", HEXW(guid & 0xFFFF, 4), "-", HEXW(guid2 >> 48, 4), "-",
        HEXW(guid2 & 0xFFFFFFFFFFFF, 12),
        "}\",\"TransmittedServices\":\"-\",\"LmPackageName\":\"-\",\"KeyLength\":\"0\","
        "\"ProcessId\":\"0x",
        HEX(pid), "\",\"ProcessName\":\"", process, "\",\"IpAddress\":\"", from, "\",\"IpPort\":\"",
        port,
        "\",\"ImpersonationLevel\":\"%%1833\",\"RestrictedAdminMode\":\"-\","
        "\"TargetOutboundUserName\":\"-\","
        "\"TargetOutboundDomainName\":\"-\",\"VirtualAccount\":\"%%1843\",\"TargetLinkedLogonId\":"
        "\"0x0\","
        "\"ElevatedToken\":\"%%1842");
}

void synth_logon_fail(struct synth_slice *s, int64_t t, const struct synth_host *h,
                      struct synth_str user, bool known, int type, struct synth_ip from)
{
    const struct synth_account nobody = {{"S-1-0-0", 7}, {"-", 1}, {"-", 1}, 0};
    const char *sub_status = known ? "0xC000006A" : "0xC0000064";
    WIN(t, h, "4625", FAILURE, "An account failed to log on.", MESSAGE_SUBJECT("Subject", &nobody),
        NL NL "Logon Type:" TAB TAB TAB, type,
        NL NL "Account For Which Logon Failed:" NL TAB "Security ID:" TAB TAB "S-1-0-0" NL TAB
              "Account Name:" TAB TAB,
        user, NL TAB "Account Domain:" TAB TAB, s->world->netbios,
        NL NL "Failure Information:" NL TAB "Failure Reason:" TAB TAB
              "Unknown user name or bad password." NL TAB "Status:" TAB TAB TAB "0xC000006D" NL TAB
              "Sub Status:" TAB TAB,
        sub_status,
        NL NL "Network Information:" NL TAB "Workstation Name:" TAB "-" NL TAB
              "Source Network Address:" TAB,
        from, NL TAB "Source Port:" TAB TAB "0\",\"Task\":\"12544", FIELDS("Subject", &nobody),
        "\",\"TargetUserSid\":\"S-1-0-0\",\"TargetUserName\":\"", user,
        "\",\"TargetDomainName\":\"", s->world->netbios,
        "\",\"Status\":\"0xc000006d\",\"FailureReason\":\"%%2313\",\"SubStatus\":\"",
        known ? "0xc000006a" : "0xc0000064", "\",\"LogonType\":\"", type,
        "\",\"LogonProcessName\":\"NtLmSsp "
        "\",\"AuthenticationPackageName\":\"NTLM\",\"WorkstationName\":\"-\","
        "\"TransmittedServices\":\"-\",\"LmPackageName\":\"-\",\"KeyLength\":\"0\",\"ProcessId\":"
        "\"0x0\","
        "\"ProcessName\":\"-\",\"IpAddress\":\"",
        from, "\",\"IpPort\":\"0");
}

void synth_logoff(struct synth_slice *s, int64_t t, const struct synth_host *h,
                  const struct synth_account *a, int type)
{
    WIN(t, h, "4634", SUCCESS, "An account was logged off.", MESSAGE_SUBJECT("Subject", a),
        NL NL "Logon Type:" TAB TAB TAB, type, "\",\"Task\":\"12545", FIELDS("Target", a),
        "\",\"LogonType\":\"", type);
}

void synth_privileges(struct synth_slice *s, int64_t t, const struct synth_host *h,
                      const struct synth_account *a)
{
#define LIST(sep)                                                                                  \
    "SeSecurityPrivilege" sep "SeBackupPrivilege" sep "SeRestorePrivilege" sep                     \
    "SeTakeOwnershipPrivilege" sep "SeDebugPrivilege" sep "SeSystemEnvironmentPrivilege" sep       \
    "SeLoadDriverPrivilege" sep "SeImpersonatePrivilege" sep                                       \
    "SeDelegateSessionUserImpersonatePrivilege"
    WIN(t, h, "4672", SUCCESS, "Special privileges assigned to new logon.",
        MESSAGE_SUBJECT("Subject", a),
        NL NL "Privileges:" TAB TAB LIST(NL TAB TAB TAB) "\",\"Task\":\"12548",
        FIELDS("Subject", a), "\",\"PrivilegeList\":\"" LIST("\\n" TAB TAB TAB));
#undef LIST
}

void synth_kerberos(struct synth_slice *s, int64_t t, const struct synth_host *dc,
                    const struct synth_person *p, struct synth_ip from,
                    const struct synth_host *service)
{
    const struct synth_world *w = s->world;
    uint32_t port = synth_range(&s->rng, 49152, 65500);
    if (!service) {
        WIN(t, dc, "4768", SUCCESS,
            "A Kerberos authentication ticket (TGT) was requested." NL NL
            "Account Information:" NL TAB "Account Name:" TAB TAB,
            p->user, NL TAB "Supplied Realm Name:" TAB, w->ad_domain, NL TAB "User ID:" TAB TAB TAB,
            p->sid,
            NL NL "Service Information:" NL TAB "Service Name:" TAB TAB "krbtgt" NL TAB
                  "Service ID:" TAB TAB,
            w->domain_sid,
            "-502" NL NL "Network Information:" NL TAB "Client Address:" TAB TAB "::ffff:", from,
            NL TAB "Client Port:" TAB TAB, port,
            NL NL "Additional Information:" NL TAB "Ticket Options:" TAB TAB "0x40810010" NL TAB
                  "Result Code:" TAB TAB "0x0" NL TAB "Ticket Encryption Type:" TAB "0x12" NL TAB
                  "Pre-Authentication Type:" TAB "2\",\"Task\":\"14339\",\"TargetUserName\":\"",
            p->user, "\",\"TargetDomainName\":\"", w->ad_domain, "\",\"TargetSid\":\"", p->sid,
            "\",\"ServiceName\":\"krbtgt\",\"ServiceSid\":\"", w->domain_sid,
            "-502\",\"TicketOptions\":\"0x40810010\",\"Status\":\"0x0\",\"TicketEncryptionType\":"
            "\"0x12\","
            "\"PreAuthType\":\"2\",\"IpAddress\":\"::ffff:",
            from, "\",\"IpPort\":\"", port,
            "\",\"CertIssuerName\":\"\",\"CertSerialNumber\":\"\",\"CertThumbprint\":\"");
        return;
    }
    uint64_t guid = synth_next(&s->rng), guid2 = synth_next(&s->rng);
    WIN(t, dc, "4769", SUCCESS,
        "A Kerberos service ticket was requested." NL NL "Account Information:" NL TAB
        "Account Name:" TAB TAB,
        p->user, "@", w->ad_upper, NL TAB "Account Domain:" TAB TAB, w->ad_upper,
        NL NL "Service Information:" NL TAB "Service Name:" TAB TAB, service->upper,
        "$" NL TAB "Service ID:" TAB TAB, w->domain_sid, "-", 30000 + service->index,
        NL NL "Network Information:" NL TAB "Client Address:" TAB TAB "::ffff:", from,
        NL TAB "Client Port:" TAB TAB, port,
        NL NL "Additional Information:" NL TAB "Ticket Options:" TAB TAB "0x40810000" NL TAB
              "Ticket Encryption Type:" TAB "0x12" NL TAB "Failure Code:" TAB TAB "0x0" NL TAB
              "Transited Services:" TAB "-\",\"Task\":\"14337\",\"TargetUserName\":\"",
        p->user, "@", w->ad_upper, "\",\"TargetDomainName\":\"", w->ad_upper,
        "\",\"ServiceName\":\"", service->upper, "$\",\"ServiceSid\":\"", w->domain_sid, "-",
        30000 + service->index,
        "\",\"TicketOptions\":\"0x40810000\",\"TicketEncryptionType\":\"0x12\",\"IpAddress\":\"::"
        "ffff:",
        from, "\",\"IpPort\":\"", port, "\",\"Status\":\"0x0\",\"LogonGuid\":\"{",
        HEXW(guid >> 32, 8), "-", HEXW(guid >> 16 & 0xFFFF, 4), "-", HEXW(guid & 0xFFFF, 4), "-",
        HEXW(guid2 >> 48, 4), "-", HEXW(guid2 & 0xFFFFFFFFFFFF, 12),
        "}\",\"TransmittedServices\":\"-");
}

void synth_win_process(struct synth_slice *s, int64_t t, const struct synth_host *h,
                       const struct synth_account *a, const char *image, const char *command,
                       const char *parent, uint32_t pid, uint32_t ppid, bool elevated)
{
    const char *label = elevated ? "S-1-16-12288" : "S-1-16-8192";
    WIN(t, h, "4688", SUCCESS, "A new process has been created.",
        MESSAGE_SUBJECT("Creator Subject", a),
        NL NL "Target Subject:" NL TAB "Security ID:" TAB TAB "S-1-0-0" NL TAB
              "Account Name:" TAB TAB "-" NL TAB "Account Domain:" TAB TAB "-" NL TAB
              "Logon ID:" TAB TAB "0x0" NL NL "Process Information:" NL TAB
              "New Process ID:" TAB TAB "0x",
        HEX(pid), NL TAB "New Process Name:" TAB, image, NL TAB "Token Elevation Type:" TAB,
        elevated ? "TokenElevationTypeFull (2)" : "TokenElevationTypeLimited (3)",
        NL TAB "Mandatory Label:" TAB TAB, label, NL TAB "Creator Process ID:" TAB "0x", HEX(ppid),
        NL TAB "Creator Process Name:" TAB, parent, NL TAB "Process Command Line:" TAB, command,
        "\",\"Task\":\"13312", FIELDS("Subject", a), "\",\"NewProcessId\":\"0x", HEX(pid),
        "\",\"NewProcessName\":\"", image, "\",\"TokenElevationType\":\"",
        elevated ? "%%1937" : "%%1938", "\",\"ProcessId\":\"0x", HEX(ppid), "\",\"CommandLine\":\"",
        command,
        "\",\"TargetUserSid\":\"S-1-0-0\",\"TargetUserName\":\"-\",\"TargetDomainName\":\"-\","
        "\"TargetLogonId\":\"0x0\",\"ParentProcessName\":\"",
        parent, "\",\"MandatoryLabel\":\"", label);
}

void synth_share(struct synth_slice *s, int64_t t, const struct synth_host *h,
                 const struct synth_account *a, struct synth_ip from, uint32_t port,
                 const char *share, const char *file, uint32_t number)
{
    if (!file) {
        WIN(t, h, "5140", SUCCESS, "A network share object was accessed." NL TAB,
            MESSAGE_SUBJECT("Subject", a),
            NL NL "Network Information:" TAB NL TAB "Object Type:" TAB TAB "File" NL TAB
                  "Source Address:" TAB TAB,
            from, NL TAB "Source Port:" TAB TAB, port,
            NL TAB NL "Share Information:" NL TAB "Share Name:" TAB TAB "\\\\\\\\*\\\\", share,
            NL TAB "Share Path:" TAB TAB "\\\\??\\\\D:\\\\Shares\\\\", share,
            NL NL "Access Request Information:" NL TAB "Access Mask:" TAB TAB "0x1" NL TAB
                  "Accesses:" TAB TAB "ReadData (or ListDirectory)\",\"Task\":\"12808",
            FIELDS("Subject", a), "\",\"ObjectType\":\"File\",\"IpAddress\":\"", from,
            "\",\"IpPort\":\"", port, "\",\"ShareName\":\"\\\\\\\\*\\\\", share,
            "\",\"ShareLocalPath\":\"\\\\??\\\\D:\\\\Shares\\\\", share,
            "\",\"AccessMask\":\"0x1\",\"AccessList\":\"%%4416\\n" TAB TAB TAB TAB);
        return;
    }
    WIN(t, h, "5145", SUCCESS,
        "A network share object was checked to see whether client can be granted desired access." NL
            TAB,
        MESSAGE_SUBJECT("Subject", a),
        NL NL "Network Information:" TAB NL TAB "Object Type:" TAB TAB "File" NL TAB
              "Source Address:" TAB TAB,
        from, NL TAB "Source Port:" TAB TAB, port,
        NL TAB NL "Share Information:" NL TAB "Share Name:" TAB TAB "\\\\\\\\*\\\\", share,
        NL TAB "Relative Target Name:" TAB, file, number, ".xlsx\",\"Task\":\"12811",
        FIELDS("Subject", a), "\",\"ObjectType\":\"File\",\"IpAddress\":\"", from,
        "\",\"IpPort\":\"", port, "\",\"ShareName\":\"\\\\\\\\*\\\\", share,
        "\",\"ShareLocalPath\":\"\\\\??\\\\D:\\\\Shares\\\\", share, "\",\"RelativeTargetName\":\"",
        file, number, ".xlsx",
        "\",\"AccessMask\":\"0x120089\",\"AccessList\":\"%%1538\\n" TAB TAB TAB TAB
        "%%4416\\n" TAB TAB TAB TAB "%%4423\\n" TAB TAB TAB TAB "\",\"AccessReason\":\"-");
}

void synth_account_created(struct synth_slice *s, int64_t t, const struct synth_host *h,
                           const struct synth_account *a, const char *created, uint32_t rid)
{
    WIN(t, h, "4720", SUCCESS, "A user account was created.", MESSAGE_SUBJECT("Subject", a),
        NL NL "New Account:" NL TAB "Security ID:" TAB TAB, s->world->domain_sid, "-", rid,
        NL TAB "Account Name:" TAB TAB, created, NL TAB "Account Domain:" TAB TAB, h->upper,
        "\",\"Task\":\"13824\",\"TargetUserName\":\"", created, "\",\"TargetDomainName\":\"",
        h->upper, "\",\"TargetSid\":\"", s->world->domain_sid, "-", rid, FIELDS("Subject", a),
        "\",\"PrivilegeList\":\"-\",\"SamAccountName\":\"", created,
        "\",\"DisplayName\":\"%%1793\",\"UserPrincipalName\":\"-\",\"HomeDirectory\":\"%%1793\","
        "\"HomePath\":\"%%1793\",\"ScriptPath\":\"%%1793\",\"ProfilePath\":\"%%1793\","
        "\"UserWorkstations\":\"%%1793\",\"PasswordLastSet\":\"%%1794\",\"AccountExpires\":\"%%"
        "1794\","
        "\"PrimaryGroupId\":\"513\",\"AllowedToDelegateTo\":\"-\",\"OldUacValue\":\"0x0\","
        "\"NewUacValue\":\"0x15\",\"UserAccountControl\":\"%%2080 %%2082 "
        "%%2084\",\"UserParameters\":\"%%1793\","
        "\"SidHistory\":\"-\",\"LogonHours\":\"%%1797");
}

void synth_group_added(struct synth_slice *s, int64_t t, const struct synth_host *h,
                       const struct synth_account *a, const char *created, uint32_t rid)
{
    WIN(t, h, "4732", SUCCESS, "A member was added to a security-enabled local group.",
        MESSAGE_SUBJECT("Subject", a), NL NL "Member:" NL TAB "Security ID:" TAB TAB,
        s->world->domain_sid, "-", rid, NL TAB "Account Name:" TAB TAB, created,
        NL NL "Group:" NL TAB "Security ID:" TAB TAB "S-1-5-32-544" NL TAB "Group Name:" TAB TAB
              "Administrators" NL TAB "Group Domain:" TAB TAB
              "Builtin\",\"Task\":\"13826\",\"MemberName\":\"",
        created, "\",\"MemberSid\":\"", s->world->domain_sid, "-", rid,
        "\",\"TargetUserName\":\"Administrators\",\"TargetDomainName\":\"Builtin\",\"TargetSid\":"
        "\"S-1-5-32-544",
        FIELDS("Subject", a), "\",\"PrivilegeList\":\"-");
}

void synth_task_created(struct synth_slice *s, int64_t t, const struct synth_host *h,
                        const struct synth_account *a, const char *task, const char *command)
{
    WIN(t, h, "4698", SUCCESS, "A scheduled task was created.", MESSAGE_SUBJECT("Subject", a),
        NL NL "Task Information:" NL TAB "Task Name:" TAB TAB "\\\\", task, "\",\"Task\":\"12804",
        FIELDS("Subject", a), "\",\"TaskName\":\"\\\\", task,
        "\",\"TaskContent\":\"<?xml version=\\\"1.0\\\" encoding=\\\"UTF-16\\\"?>" NL
        "<Task version=\\\"1.2\\\" "
        "xmlns=\\\"http://schemas.microsoft.com/windows/2004/02/mit/task\\\">" NL
        "  <RegistrationInfo>" NL "    <Author>",
        a->domain, "\\\\", a->name, "</Author>" NL "    <URI>\\\\", task,
        "</URI>" NL "  </RegistrationInfo>" NL "  <Triggers>" NL "    <LogonTrigger>" NL
        "      <Enabled>true</Enabled>" NL "    </LogonTrigger>" NL "  </Triggers>" NL
        "  <Actions Context=\\\"Author\\\">" NL "    <Exec>" NL "      <Command>",
        command, "</Command>" NL "    </Exec>" NL "  </Actions>" NL "</Task>");
}

void synth_service_installed(struct synth_slice *s, int64_t t, const struct synth_host *h,
                             const struct synth_account *a, const char *service, const char *path)
{
    WIN(t, h, "4697", SUCCESS, "A service was installed in the system.",
        MESSAGE_SUBJECT("Subject", a), NL NL "Service Information:" NL TAB "Service Name: " TAB TAB,
        service, NL TAB "Service File Name:" TAB, path,
        NL TAB "Service Type: " TAB TAB "0x10" NL TAB "Service Start Type:" TAB "2" NL TAB
               "Service Account: " TAB TAB "LocalSystem\",\"Task\":\"12289",
        FIELDS("Subject", a), "\",\"ServiceName\":\"", service, "\",\"ServiceFileName\":\"", path,
        "\",\"ServiceType\":\"0x10\",\"ServiceStartType\":\"2\",\"ServiceAccount\":\"LocalSystem\","
        "\"ClientProcessStartKey\":\"",
        synth_next(&s->rng) >> 12, "\",\"ClientProcessId\":\"", 600 + h->index % 90 * 4,
        "\",\"ParentProcessId\":\"548");
}
