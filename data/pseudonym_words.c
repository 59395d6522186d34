/* The words that the pseudonymiser knows by heart, and a hash table over them. */
#include "base/error.h"
#include "data/pseudonym_internal.h"

#include <stdlib.h>

#define A_BIT (CH_WORD | CH_ALPHA | CH_USER | CH_HOST | CH_LOCAL)
#define HEXA  (A_BIT | CH_HEX)
#define NUM   (CH_WORD | CH_DIGIT | CH_HEX | CH_USER | CH_HOST | CH_LOCAL)
#define WIDE  (CH_WORD | CH_USER)

const uint8_t ch_table[256] = {
    ['0' ... '9'] = NUM,
    ['A' ... 'F'] = HEXA,
    ['a' ... 'f'] = HEXA,
    ['G' ... 'Z'] = A_BIT,
    ['g' ... 'z'] = A_BIT,
    ['_'] = CH_WORD | CH_USER | CH_LOCAL,
    ['.'] = CH_USER | CH_HOST | CH_LOCAL,
    ['-'] = CH_USER | CH_HOST | CH_LOCAL,
    ['$'] = CH_USER,
    ['+'] = CH_LOCAL,
    [0x80 ... 0xFF] = WIDE,
};

static const struct {
    uint32_t kind;
    const char *words; /* separated by blanks, lower case */
} lists[] = {
    {WORD_KEY_USER,
     "user username user_name usr usrname uname login logname loginname login_name ruser suser "
     "duser srcuser dstuser sourceuser destinationuser acct account accountname account_name auid "
     "uid gid euid egid suid sgid fsuid fsgid ouid ogid sasl_username userid user_id "
     "subjectusername targetusername targetoutboundusername samaccountname oldtargetusername "
     "newtargetusername remote_user remoteuser client_user clientuser xauthuser unauthuser "
     "userprincipalname userdisplayname identity fullname full_name principalname owner "
     "callerusername initiatinguser initiatingusername runas ldapuser dbuser db_user parentuser "
     "sourceusername destinationusername requestinguser actor_username effectiveuser auth_user "
     "authuser imuser sender_login actorlogin adminuser operatorname"},
    {WORD_KEY_HOST,
     "host hostname host_name computer computername computer_name workstation workstationname "
     "workstation_name machine machinename machine_name node nodename devname dvchost shost dhost "
     "rhost sourcehost sourcehostname destinationhostname devicehostname src_host dst_host "
     "dest_host srchost dsthost servername server_name clientname client_hostname remotehost "
     "remote_host fqdn logsource subjectdomainname targetdomainname accountdomain userdomain "
     "user_domain domainname logondomain ntdomain dnshostname sourceworkstation "
     "clientworkstation targetservername destinationhost syslog_hostname _hostname nbdomain "
     "targetoutbounddomainname realm netbiosname dhcp_hostname devicename bucketname bucket"},
    {WORD_KEY_LOOSE, "displayname query queryname server destination target peer relay sni origin"},
    {WORD_KEY_SECRET,
     "password passwd pwd passphrase secret token api_key apikey api_token apitoken client_secret "
     "clientsecret private_key privatekey secret_key secretkey aws_secret_access_key "
     "secretaccesskey access_token accesstoken refresh_token refreshtoken id_token idtoken "
     "session_token sessiontoken auth_token authtoken bearer_token bearertoken security_token "
     "securitytoken authorization proxy_authorization userpassword user_password dbpassword "
     "db_password newpassword oldpassword csrf_token csrftoken sharedsecret shared_secret psk "
     "secret_access_key jwt"},
    {WORD_ACCOUNT,
     "root system administrator admin guest nobody daemon bin sys sync games man lp mail news "
     "uucp proxy www-data backup list irc gnats operator halt shutdown ftp ntp dbus rpc rpcuser "
     "apache nginx httpd mysql postgres postgresql oracle redis mongodb sshd syslog messagebus "
     "polkitd chrony avahi gdm lightdm sddm postfix postmaster dovecot dovenull vmail named bind "
     "squid tomcat jenkins git gitlab-runner docker nagios zabbix telegraf prometheus grafana "
     "puppet ansible chef salt rsyslog systemd-network systemd-resolve systemd-timesync "
     "systemd-coredump systemd-oom tss sssd setroubleshoot cron crond anonymous krbtgt "
     "defaultaccount wdagutilityaccount everyone users public default shared local network "
     "service self owner unknown none null nil undef undefined unset test user ubuntu centos "
     "debian ec2-user azureuser vagrant n/a na true false yes no localhost localdomain localhost4 "
     "localhost6 wpad kernel wheel sudo adm tty disk staff nt builtin workgroup mshome "
     "authority iusr iis_iusrs networkservice localservice localsystem trustedinstaller dwm-1 "
     "dwm-2 dwm-3 umfd-0 umfd-1 umfd-2 umfd-3 ip6-localhost broadcasthost azuread "
     "microsoftaccount not_available redacted all any host hostname arn administrators "
     "configuration names server "
     "computers schema operators account domain"},
    {WORD_STOP,
     "is was were are be been being has have had not from on to in into out with and or the a an "
     "by for of at as if it its this that these those name names account accounts id ids agent "
     "agents session sessions logged login logins logon logoff logout authentication "
     "authenticated authorization authorized auth authenticating invalid illegal unknown "
     "requested request requests response responses data connection connections client clients "
     "server servers process processes group groups home directory shell command commands mode "
     "space input output error errors failed failure failures succeeded success successful "
     "successfully denied allowed permitted rejected accepted added removed deleted created "
     "changed changing modified updated locked unlocked disabled enabled expired missing found "
     "exists set get new old other another same different current specified given default "
     "defined interface password passwords passwd credentials certificate key keys token "
     "permission permissions privilege privileges role roles policy policies profile type types "
     "list number none null per all any each every some more most less least no yes ok can could "
     "may might must shall should will would do does did done has_been which who whom whose "
     "when where while after before during until since because due using via upon within without "
     "initiated triggered terminated started stopped running waiting opened closed closing "
     "opening preference preferences settings setting option options value values field fields "
     "details info information event events activity action actions access attribute attributes "
     "principal identity domain host hosts node device devices user users local remote message "
     "messages packet packets traffic reply replies update updates download upload file files "
     "object objects resource resources read write execution time times timeout limit limits "
     "inside outside dmz tcp udp icmp http https ssh ftp smtp dns tls ssl port ports address "
     "addresses network networks support service services application applications app apps "
     "control manager management registration notification notifications notify tried try "
     "trying attempt attempts attempted logging signed sign defaults context contexts "
     "warn warning debug fatal trace notice critical severe emerg alert verbose last next first"},
    {WORD_TLD,
     "com net org edu gov mil int biz example test invalid local lan internal corp intranet home "
     "localdomain onion cloud online site xyz club shop tech eu uk de fr nl ru cn jp kr tw hk br "
     "au ca ch es se fi dk cz be pt gr hu ro ua tr il za mx ar cl nz ie sg no at us th vn "
     "arpa aero coop museum jobs mobi travel asia cat"},
    {WORD_TLD_WEAK,
     "io me cc ai tv ws app dev it pl st la ms co pro my lt lv ee sk si hr ir pk ae sa eg ng ke li "
     "lu gg im news live name info id in is to so"},
    {WORD_VENDOR,
     "microsoft windowsupdate microsoftonline office office365 msftncsi msftconnecttest live "
     "msedge "
     "bing amazon aws google gstatic youtube apple icloud mozilla firefox ubuntu debian redhat "
     "centos fedoraproject docker k8s kubernetes githubusercontent npmjs pypi pythonhosted openssh "
     "libssh w3 xmlsoap oasis-open cloudflare digicert verisign symantec letsencrypt spamhaus "
     "adobe schema ietf iana root-servers gtld-servers in-addr ip6"},
    {WORD_TENANT,
     "amazonaws cloudfront azure windows azurewebsites sharepoint outlook skype visualstudio "
     "googleapis github gitlab okta elastic splunk oracle vmware cisco fortinet paloaltonetworks "
     "atlassian slack zendesk zoom"},
    {WORD_VERSION, /* before a slash */
     "chrome chromium crios headlesschrome edg edge edga edgios firefox fxios safari opr opera "
     "applewebkit webkit trident mobile android yabrowser vivaldi brave samsungbrowser electron "
     "java python curl wget okhttp boto3 botocore nginx apache openssl openssh php dalvik teams "
     "outlook skype slack zoom code node npm"},
    {WORD_VERB,
     "from at on via logged logs login logon logoff logout authentication authenticated has had is "
     "was failed not does did executed connected disconnected denied allowed rejected accepted "
     "created deleted changed modified locked unlocked disabled enabled added removed tried "
     "attempted requested successfully signed started stopped ran accessed uploaded downloaded"},
    {WORD_PROSE, "user users for by"},
    {WORD_FOLDER, "users home"},
    {WORD_LAST, "name domain account workstation user-name"},
    {WORD_PACKAGE,
     "com org net io java javax sun jdk edu system microsoft scala kotlin android apple akka "
     "spring kafka this self math os re sys json np pd asp ado vb"},
    {WORD_SERVICE,
     "health inspector2 s3-control ps protection compliance manage prod "
     "s3 ec2 sts iam rds elb elasticloadbalancing lambda kms logs monitoring sns sqs dynamodb "
     "compute internal signin console cloudtrail login www api apps schemas management graph "
     "security-token-service secretsmanager autoscaling ssm guardduty config support blob core "
     "file queue table authorization rbac networking storage coordination audit events batch "
     "policy discovery node certificates admissionregistration apiextensions metrics snapshot "
     "docs download downloads update updates ctldl registry portal raw gist codeload cdn static "
     "fonts maps accounts mail drive play clients1 clients2 clients3 clients4 safebrowsing outlook "
     "autodiscover smtp imap zen dc pool time"},
};

enum { SLOTS = 1 << 13 };
struct entry {
    const char *word;
    uint32_t len, kinds;
};
struct word_table {
    uint8_t seen[1 << 13]; /* a bit a hash of 16 bits: most words are none of these */
    uint16_t slot[SLOTS];  /* entry + 1 */
    struct entry entry[SLOTS / 2];
    uint32_t n;
    char text[1 << 15];
    size_t used;
};

static bool same_word(const char *word, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (word[i] != ch_lower(p[i]))
            return false;
    return true;
}

static struct entry *find(const struct word_table *t, const char *p, size_t n, uint64_t hash,
                          uint32_t *slot)
{
    for (*slot = (uint32_t)(hash >> 20) % SLOTS; t->slot[*slot]; *slot = (*slot + 1) % SLOTS) {
        const struct entry *e = &t->entry[t->slot[*slot] - 1];
        if (e->len == n && same_word(e->word, p, n))
            return (struct entry *)(uintptr_t)e;
    }
    return NULL;
}

static int insert(struct word_table *t, const char *p, size_t n, uint32_t kinds)
{
    char padded[64] = {0};
    uint32_t slot;
    if (n > 40 || t->n == SLOTS / 2 || t->used + n + 16 > sizeof t->text)
        return sec_fail(SEC_ECONFIG, "the list of known words is too long");
    memcpy(padded, p, n);
    uint64_t hash = word_hash(padded, n);
    struct entry *e = find(t, padded, n, hash, &slot);
    if (!e) {
        e = &t->entry[t->n++];
        t->slot[slot] = (uint16_t)t->n;
        e->word = memcpy(t->text + t->used, p, n);
        e->len = (uint32_t)n;
        t->used += n;
        t->seen[(hash & 0xFFFF) >> 3] |= (uint8_t)(1 << (hash & 7));
    }
    e->kinds |= kinds;
    return 0;
}

int word_table_new(struct word_table **out)
{
    int rc;
    struct word_table *t = calloc(1, sizeof *t);
    if (!t)
        return sec_fail(SEC_ENOMEM, "no memory for the known words");
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        for (const char *p = lists[i].words; *p;) {
            size_t n = strcspn(p, " ");
            SEC_TRY(insert(t, p, n, lists[i].kind));
            p += n + (p[n] == ' ');
        }
    *out = t;
    return 0;
fail:
    free(t);
    return rc;
}

void word_table_free(struct word_table *t)
{
    free(t);
}

uint32_t word_kinds(const struct word_table *t, const char *p, size_t n, uint64_t hash)
{
    uint32_t slot;
    if (!(t->seen[(hash & 0xFFFF) >> 3] >> (hash & 7) & 1))
        return 0;
    const struct entry *e = find(t, p, n, hash, &slot);
    return e ? e->kinds : 0;
}

uint32_t word_kinds_of(const struct word_table *t, const char *p, size_t n)
{
    return n ? word_kinds(t, p, n, word_hash(p, n)) : 0;
}
