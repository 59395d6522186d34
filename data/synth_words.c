#include "data/synth_world.h"

#define LIST(name, ...)                                                                            \
    const char *const synth_##name[] = {__VA_ARGS__, NULL};                                        \
    const uint32_t synth_n_##name = sizeof synth_##name / sizeof synth_##name[0] - 1

LIST(given_names, "Maria", "Jonas", "Aisha", "Peter", "Lena", "Omar", "Julia", "Victor", "Nadia",
     "Erik", "Sofia", "Daniel", "Priya", "Thomas", "Ingrid", "Lucas", "Chloe", "Rafael", "Hannah",
     "Marek", "Yuki", "Anders", "Elif", "Samuel", "Greta", "Diego", "Katya", "Martin", "Noor",
     "Felix", "Amara", "Simon", "Tereza", "Hugo", "Leila", "Oskar", "Beatriz", "Adam", "Mei",
     "Paul", "Zofia", "Ivan", "Clara", "David", "Fatima", "George", "Alina", "Robert", "Carmen",
     "Stefan", "Ruth", "Kofi", "Emma", "Tariq", "Nina", "Walter", "Ana", "Bruno", "Salma",
     "Henrik");
LIST(surnames, "Keller", "Novak", "Okafor", "Lindgren", "Silva", "Haddad", "Moreau", "Fischer",
     "Rossi", "Tanaka", "Kowalski", "Andersen", "Mehta", "Dubois", "Garcia", "Petrov", "Yilmaz",
     "Schmidt", "Costa", "Nguyen", "Larsson", "Weber", "Horvat", "Ferrari", "Khan", "Jansen",
     "Muller", "Popescu", "Bianchi", "Eriksen", "Santos", "Wagner", "Ali", "Martens", "Dvorak",
     "Lopez", "Baker", "Singh", "Hoffman", "Marino", "Ito", "Berg", "Richter", "Osei", "Vargas",
     "Nagy", "Blanc", "Fraser", "Zeman", "Conti", "Ramos", "Koch", "Sato", "Arslan", "Walsh",
     "Bauer", "Mensah", "Virtanen", "Pavlov", "Quinn", "Reyes", "Stone", "Torres", "Ueda", "Voss",
     "Wolff");
LIST(companies, "brightwell", "northgate", "alderbrook", "stonefield", "clearhaven", "meridia",
     "kestrel", "oakmoor", "silverline", "tidewater");
LIST(sites, "www.google.com", "outlook.office365.com", "teams.microsoft.com",
     "login.microsoftonline.com", "graph.microsoft.com", "www.bing.com", "github.com",
     "api.github.com", "stackoverflow.com", "www.linkedin.com", "slack.com", "zoom.us",
     "www.youtube.com", "i.ytimg.com", "fonts.gstatic.com", "www.gstatic.com", "cdn.jsdelivr.net",
     "ctldl.windowsupdate.com", "settings-win.data.microsoft.com", "v10.events.data.microsoft.com",
     "ocsp.digicert.com", "edge.microsoft.com", "update.googleapis.com",
     "safebrowsing.googleapis.com", "clients4.google.com", "www.wikipedia.org", "www.bbc.co.uk",
     "www.nytimes.com", "www.reuters.com", "pypi.org", "files.pythonhosted.org",
     "registry.npmjs.org", "deb.debian.org", "security.ubuntu.com", "archive.ubuntu.com",
     "hub.docker.com", "registry-1.docker.io", "production.cloudflare.docker.com",
     "s3.eu-central-1.amazonaws.com", "sts.amazonaws.com", "ec2.eu-central-1.amazonaws.com",
     "monitoring.eu-central-1.amazonaws.com", "logs.eu-central-1.amazonaws.com", "www.amazon.de",
     "www.booking.com", "www.salesforce.com", "eu.salesforce.com", "api.hubspot.com",
     "www.atlassian.com", "api.atlassian.com", "trello.com", "dropbox.com", "client.dropbox.com",
     "drive.google.com", "mail.google.com", "docs.google.com", "meet.google.com", "www.spotify.com",
     "audio-fa.scdn.co", "weather.com", "www.adobe.com", "cc-api-data.adobe.io",
     "telemetry.mozilla.org", "detectportal.firefox.com", "incoming.telemetry.mozilla.org",
     "www.cloudflare.com", "time.windows.com", "0.debian.pool.ntp.org", "pool.ntp.org",
     "api.segment.io", "sentry.io", "app.datadoghq.eu", "www.figma.com", "notion.so",
     "www.miro.com", "api.openweathermap.org", "maps.googleapis.com", "www.heise.de",
     "www.lemonde.fr", "www.elpais.com", "www.bahn.de", "www.lufthansa.com", "www.paypal.com",
     "js.stripe.com", "api.stripe.com");
LIST(site_words, "harbor", "maple", "cobalt", "ember", "quartz", "willow", "summit", "lumen",
     "raven", "delta", "nova", "pixel", "orbit", "cedar", "falcon", "prime", "vista", "cloud",
     "media", "market", "travel", "data", "shop", "news", "track", "ads", "img", "static",
     "metrics", "edge");
LIST(agents,
     "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/133.0.0.0 "
     "Safari/537.36",
     "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/133.0.0.0 "
     "Safari/537.36 Edg/133.0.0.0",
     "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:135.0) Gecko/20100101 Firefox/135.0",
     "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/132.0.0.0 "
     "Safari/537.36 Edg/132.0.0.0",
     "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
     "Version/18.3 Safari/605.1.15",
     "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/133.0.0.0 Safari/537.36",
     "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
     "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:135.0) Gecko/20100101 Firefox/135.0",
     "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/131.0.0.0 "
     "Safari/537.36 OPR/116.0.0.0");
LIST(phone_agents,
     "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
     "Gecko) "
     "Version/18.3 Mobile/15E148 Safari/604.1",
     "Mozilla/5.0 (iPhone; CPU iPhone OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
     "Gecko) "
     "Version/17.7 Mobile/15E148 Safari/604.1",
     "Mozilla/5.0 (Linux; Android 14; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/132.0.0.0 "
     "Mobile Safari/537.36",
     "Mozilla/5.0 (Linux; Android 15; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/133.0.0.0 "
     "Mobile Safari/537.36",
     "Mozilla/5.0 (Linux; Android 13; SM-A536B) AppleWebKit/537.36 (KHTML, like Gecko) "
     "Chrome/131.0.0.0 "
     "Mobile Safari/537.36");
LIST(bots, "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
     "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
     "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
     "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)",
     "Mozilla/5.0 zgrab/0.x", "python-requests/2.32.3", "curl/8.5.0", "Go-http-client/1.1",
     "Mozilla/5.0 (compatible; CensysInspect/1.1; +https://about.censys.io/)", "okhttp/4.12.0",
     "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)");
#define PLACE(city, state, country, lat, lon)                                                      \
    "\"city\":\"" city "\",\"state\":\"" state "\",\"countryOrRegion\":\"" country                 \
    "\",\"geoCoordinates\":{\"latitude\":" lat ",\"longitude\":" lon "}"
LIST(places, PLACE("Berlin", "Berlin", "DE", "52.52437", "13.41053"),
     PLACE("Hamburg", "Hamburg", "DE", "53.57532", "10.01534"),
     PLACE("Munich", "Bavaria", "DE", "48.13743", "11.57549"),
     PLACE("Vienna", "Vienna", "AT", "48.20849", "16.37208"),
     PLACE("Zurich", "Zurich", "CH", "47.36667", "8.55"),
     PLACE("Paris", "Ile-de-France", "FR", "48.85341", "2.3488"),
     PLACE("Amsterdam", "North Holland", "NL", "52.37403", "4.88969"),
     PLACE("London", "England", "GB", "51.50853", "-0.12574"),
     PLACE("Prague", "Praha", "CZ", "50.08804", "14.42076"),
     PLACE("Warsaw", "Mazovia", "PL", "52.22977", "21.01178"),
     PLACE("Madrid", "Madrid", "ES", "40.4165", "-3.70256"),
     PLACE("Stockholm", "Stockholm", "SE", "59.32938", "18.06871"));
LIST(pages, "/", "/products", "/products/item/", "/cart", "/cart/add", "/checkout",
     "/checkout/confirm", "/search", "/account", "/account/orders/", "/account/login",
     "/api/v1/products", "/api/v1/cart", "/api/v1/session", "/api/v1/orders/",
     "/api/v2/recommendations", "/blog", "/blog/post-", "/about", "/contact", "/careers",
     "/support/tickets/", "/downloads/", "/pricing", "/docs/getting-started", "/docs/api/reference",
     "/status", "/sitemap.xml", "/robots.txt", "/feed.xml", "/healthz");
LIST(assets, "/static/css/main.", "/static/js/app.", "/static/js/vendor.", "/static/js/runtime.",
     "/static/img/logo.", "/static/img/hero-", "/static/img/products/", "/static/fonts/inter-",
     "/static/js/chunk-", "/favicon.ico", "/static/css/theme.", "/static/img/icons/sprite.");
LIST(intranet, "/wiki/display/IT/Onboarding", "/wiki/display/ENG/Runbook-",
     "/wiki/pages/viewpage.action", "/wiki/rest/api/content/", "/jira/browse/OPS-",
     "/jira/browse/WEB-", "/jira/rest/api/2/issue/", "/jira/secure/Dashboard.jspa", "/portal/",
     "/portal/timesheet", "/portal/leave/request", "/portal/directory", "/portal/payslip/",
     "/git/platform/api/-/merge_requests/", "/git/platform/web/-/pipelines/",
     "/git/api/v4/projects/", "/grafana/d/node-", "/grafana/api/ds/query", "/crm/accounts/",
     "/crm/opportunities/", "/crm/api/contacts", "/expenses/report/", "/helpdesk/ticket/",
     "/sso/saml/acs", "/index.html", "/server-status");
LIST(probes, "/.env", "/wp-login.php", "/.git/config", "/xmlrpc.php", "/phpmyadmin/index.php",
     "/wp-admin/setup-config.php", "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
     "/cgi-bin/luci/;stok=/locale", "/boaform/admin/formLogin", "/actuator/health", "/actuator/env",
     "/solr/admin/info/system", "/owa/auth/logon.aspx", "/remote/login", "/HNAP1", "/manager/html",
     "/login.action", "/console/login/LoginForm.jsp", "/config.json", "/backup.zip", "/admin.php",
     "/index.php?s=/Index/\\\\think\\\\app/invokefunction", "/?id=1%27%20OR%20%271%27=%271",
     "/search?q=%3Cscript%3Ealert(1)%3C/script%3E", "/download?file=../../../../etc/passwd",
     "/api/v1/users?limit=100000", "/server-status", "/.aws/credentials", "/.ssh/id_rsa",
     "/debug/pprof/", "/autodiscover/autodiscover.json", "/ecp/default.flt", "/geoserver/web/",
     "/druid/index.html");
LIST(commands, "/usr/bin/ls -la", "/usr/bin/git pull --rebase", "/usr/bin/git status",
     "/usr/bin/vim config.yaml", "/usr/bin/tail -f /var/log/syslog",
     "/usr/bin/grep -r timeout /etc/nginx", "/usr/bin/ps aux", "/usr/bin/df -h",
     "/usr/bin/du -sh /var/lib/docker", "/usr/bin/top -b -n 1", "/usr/bin/cat /proc/meminfo",
     "/usr/bin/ss -tlnp", "/usr/bin/curl -sS http://localhost:8080/healthz",
     "/usr/bin/python3 manage.py migrate", "/usr/bin/make test", "/usr/bin/less README.md",
     "/usr/bin/find . -name *.log -mtime +7", "/usr/bin/docker ps --all",
     "/usr/bin/docker logs --tail 100 api", "/usr/bin/kubectl get pods -A",
     "/usr/bin/psql -h db-01 -c select(1)", "/usr/bin/htop", "/usr/bin/uptime", "/usr/bin/free -m",
     "/usr/bin/journalctl -u nginx --since today", "/usr/bin/rsync -av build/ app-02:/srv/",
     "/usr/bin/tar czf /tmp/release.tgz dist",
     "/usr/bin/ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
     "/usr/bin/dig +short api.internal", "/usr/bin/env", "/usr/bin/id", "/usr/bin/date -u",
     "/usr/bin/sed -n 1,40p deploy.sh", "/usr/bin/awk NR==1 report.csv",
     "/usr/bin/wc -l access.log", "/usr/bin/crontab -l", "/usr/bin/npm run build",
     "/usr/bin/cp config.yaml config.yaml.bak", "/usr/bin/mv release.tgz /srv/releases",
     "/usr/bin/rm -f /tmp/build.lock");
LIST(sudo_commands, "/usr/bin/systemctl restart nginx", "/usr/bin/systemctl status postgresql",
     "/usr/bin/apt-get update", "/usr/bin/apt-get -y upgrade", "/usr/bin/journalctl -xe",
     "/usr/bin/tail -n 200 /var/log/auth.log", "/usr/sbin/nginx -t", "/usr/bin/vim /etc/hosts",
     "/usr/bin/systemctl reload haproxy", "/usr/bin/docker compose up -d", "/usr/bin/ls /root",
     "/usr/sbin/tcpdump -i eth0 -c 100 port 443", "/usr/bin/cat /etc/ssl/private/web.pem",
     "/usr/bin/chown -R www-data:www-data /srv/www", "/usr/sbin/iptables -L -n",
     "/usr/bin/mount /mnt/backup", "/usr/bin/systemctl daemon-reload", "/usr/bin/certbot renew",
     "/usr/sbin/ip route", "/usr/bin/kill -HUP 2214", "/usr/sbin/lsof -i :8080",
     "/usr/bin/rsync -a /srv/www/ /backup/www/", "/usr/bin/crictl ps",
     "/usr/sbin/useradd -m deploy", "/usr/bin/passwd -S deploy");
LIST(attack_commands, "/usr/bin/id", "/usr/bin/uname -a", "/usr/bin/cat /etc/passwd",
     "/usr/bin/sudo -l", "/usr/bin/find / -perm -4000 -type f",
     "/usr/bin/cat /root/.ssh/authorized_keys", "/usr/bin/ss -antp",
     "/usr/bin/curl -o /tmp/.x -s http://", "/usr/bin/chmod 755 /tmp/.x", "/usr/bin/bash -p",
     "/usr/bin/cat /etc/shadow", "/usr/bin/wget -q -O /dev/shm/k http://");
LIST(cron_jobs, "/usr/lib/php/sessionclean", "/usr/bin/test -x /usr/sbin/anacron",
     "/usr/local/bin/backup.sh", "/usr/sbin/logrotate /etc/logrotate.conf",
     "/usr/local/bin/metrics-push", "/usr/bin/certbot -q renew", "/usr/lib/sysstat/debian-sa1 1 1",
     "/usr/local/bin/cleanup-tmp", "/usr/bin/run-parts /etc/cron.hourly",
     "/opt/reports/bin/nightly --all");
LIST(guesses, "root", "admin", "test", "ubuntu", "oracle", "postgres", "git", "user", "ftpuser",
     "guest", "hadoop", "mysql", "pi", "support", "www", "jenkins", "deploy", "dev", "nagios",
     "steam", "minecraft", "tomcat", "zabbix", "centos", "ec2-user", "backup", "sysadmin", "es",
     "odoo", "sonar");
LIST(documents, "Budget_2025_Q", "Forecast-", "Minutes_", "Contract_", "Invoice_", "Offer-",
     "Roadmap_", "Customer_List_", "Payroll_", "Design_Review_", "Release_Notes_", "Audit_Report_",
     "Onboarding_", "Travel_Expenses_", "Org_Chart_", "Price_List_", "Risk_Register_", "Inventory_",
     "Training_", "Logo_");
LIST(shares, "Finance", "HR", "Sales", "Projects", "Public", "Engineering", "Marketing", "Legal",
     "SYSVOL", "IPC$");
LIST(dlls, "C:\\\\Windows\\\\System32\\\\ntdll.dll", "C:\\\\Windows\\\\System32\\\\kernel32.dll",
     "C:\\\\Windows\\\\System32\\\\KernelBase.dll", "C:\\\\Windows\\\\System32\\\\user32.dll",
     "C:\\\\Windows\\\\System32\\\\combase.dll", "C:\\\\Windows\\\\System32\\\\rpcrt4.dll",
     "C:\\\\Windows\\\\System32\\\\advapi32.dll", "C:\\\\Windows\\\\System32\\\\sechost.dll",
     "C:\\\\Windows\\\\System32\\\\wldp.dll", "C:\\\\Windows\\\\System32\\\\amsi.dll",
     "C:\\\\Windows\\\\System32\\\\clbcatq.dll", "C:\\\\Windows\\\\System32\\\\bcrypt.dll",
     "C:\\\\Windows\\\\System32\\\\crypt32.dll", "C:\\\\Windows\\\\System32\\\\ws2_32.dll",
     "C:\\\\Windows\\\\System32\\\\mswsock.dll", "C:\\\\Windows\\\\System32\\\\winhttp.dll",
     "C:\\\\Windows\\\\System32\\\\taskschd.dll",
     "C:\\\\Windows\\\\System32\\\\wbem\\\\wbemprox.dll");
LIST(dll_titles, "NT Layer DLL", "Windows NT BASE API Client DLL", "Windows NT BASE API Client DLL",
     "Multi-User Windows USER API Client DLL", "Microsoft COM for Windows",
     "Remote Procedure Call Runtime", "Advanced Windows 32 Base API",
     "Host for SCM/SDDL/LSA Lookup APIs", "Windows Lockdown Policy", "Anti-Malware Scan Interface",
     "COM+ Configuration Catalog", "Windows Cryptographic Primitives Library", "Crypto API32",
     "Windows Socket 2.0 32-Bit DLL", "Microsoft Windows Sockets 2.0 Service Provider",
     "Windows HTTP Services", "Task Scheduler COM API", "WMI");
LIST(registry,
     "HKLM\\\\System\\\\CurrentControlSet\\\\Services\\\\bam\\\\State\\\\UserSettings\\\\",
     "HKLM\\\\SOFTWARE\\\\Microsoft\\\\Windows\\\\CurrentVersion\\\\Authentication\\\\LogonUI\\\\Se"
     "ssionData\\\\",
     "HKU\\\\Software\\\\Microsoft\\\\Windows\\\\CurrentVersion\\\\Explorer\\\\RecentDocs\\\\",
     "HKU\\\\Software\\\\Microsoft\\\\Office\\\\16.0\\\\Common\\\\Roaming\\\\",
     "HKLM\\\\SOFTWARE\\\\Microsoft\\\\Windows "
     "NT\\\\CurrentVersion\\\\Schedule\\\\TaskCache\\\\Tasks\\\\",
     "HKLM\\\\System\\\\CurrentControlSet\\\\Services\\\\Tcpip\\\\Parameters\\\\Interfaces\\\\",
     "HKU\\\\Software\\\\Microsoft\\\\OneDrive\\\\Accounts\\\\Business1\\\\",
     "HKLM\\\\SOFTWARE\\\\Microsoft\\\\Windows Defender\\\\Signature Updates\\\\");
LIST(namespaces, "default", "kube-system", "shop", "payments", "monitoring", "ingress-nginx",
     "cert-manager", "ci");
LIST(kube_apps, "api", "cart", "checkout", "frontend", "worker", "redis", "prometheus", "coredns",
     "grafana", "ingress-nginx-controller", "postgres", "runner", "cert-manager", "fluent-bit");
LIST(cloud_apps,
     "Office 365 Exchange Online\",\"resourceDisplayName\":\"Office 365 Exchange Online",
     "Microsoft Teams\",\"resourceDisplayName\":\"Microsoft Teams Services",
     "Office365 Shell WCSS-Client\",\"resourceDisplayName\":\"Office365 Shell WCSS-Server",
     "OfficeHome\",\"resourceDisplayName\":\"OfficeHome",
     "SharePoint Online Web Client Extensibility\",\"resourceDisplayName\":\"Office 365 SharePoint "
     "Online",
     "Microsoft Outlook\",\"resourceDisplayName\":\"Microsoft Graph",
     "Azure Portal\",\"resourceDisplayName\":\"Windows Azure Service Management API",
     "One Outlook Web\",\"resourceDisplayName\":\"Microsoft Graph",
     "Microsoft Authentication Broker\",\"resourceDisplayName\":\"Windows Azure Active Directory",
     "OneDrive SyncEngine\",\"resourceDisplayName\":\"Office 365 SharePoint Online");

#define SYS32 "C:\\\\Windows\\\\System32\\\\"
#define PF    "C:\\\\Program Files\\\\"
#define PF86  "C:\\\\Program Files (x86)\\\\"
#define MS    "Microsoft\u00ae Windows\u00ae Operating System", "Microsoft Corporation"
#define EXPL  "C:\\\\Windows\\\\explorer.exe", "C:\\\\Windows\\\\Explorer.EXE"
#define SVC   SYS32 "services.exe", SYS32 "services.exe"
#define HOSTP SYS32 "svchost.exe", SYS32 "svchost.exe -k netsvcs -p -s Schedule"
#define CMD   SYS32 "cmd.exe", "\\\"" SYS32 "cmd.exe\\\""
const struct synth_process synth_processes[] = {
    {PF "Google\\\\Chrome\\\\Application\\\\chrome.exe",
     "\\\"" PF "Google\\\\Chrome\\\\Application\\\\chrome.exe\\\" --type=renderer --lang=en-US "
     "--js-flags --device-scale-factor=1",
     "Google Chrome", "Google Chrome", "Google LLC", "chrome.exe", EXPL, 0x0F},
    {PF86 "Microsoft\\\\Edge\\\\Application\\\\msedge.exe",
     "\\\"" PF86 "Microsoft\\\\Edge\\\\Application\\\\msedge.exe\\\" --single-argument "
     "https://outlook.office365.com/",
     "Microsoft Edge", "Microsoft Edge", "Microsoft Corporation", "msedge.exe", EXPL, 0x0F},
    {PF "Microsoft Office\\\\root\\\\Office16\\\\OUTLOOK.EXE",
     "\\\"" PF "Microsoft Office\\\\root\\\\Office16\\\\OUTLOOK.EXE\\\"", "Microsoft Outlook",
     "Microsoft Outlook", "Microsoft Corporation", "Outlook.exe", EXPL, 0x0F},
    {PF "Microsoft Office\\\\root\\\\Office16\\\\EXCEL.EXE",
     "\\\"" PF
     "Microsoft Office\\\\root\\\\Office16\\\\EXCEL.EXE\\\" \\\"H:\\\\Budget_2025.xlsx\\\"",
     "Microsoft Excel", "Microsoft Office", "Microsoft Corporation", "Excel.exe", EXPL, 0x07},
    {PF "Microsoft Office\\\\root\\\\Office16\\\\WINWORD.EXE",
     "\\\"" PF
     "Microsoft Office\\\\root\\\\Office16\\\\WINWORD.EXE\\\" /n \\\"H:\\\\Minutes.docx\\\"",
     "Microsoft Word", "Microsoft Office", "Microsoft Corporation", "WinWord.exe", EXPL, 0x0F},
    {"C:\\\\Users\\\\Public\\\\AppData\\\\Teams\\\\ms-teams.exe",
     "\\\"ms-teams.exe\\\" msteams:system-initiated", "Microsoft Teams", "Microsoft Teams",
     "Microsoft Corporation", "ms-teams.exe", EXPL, 0x0F},
    {SYS32 "notepad.exe", "\\\"" SYS32 "NOTEPAD.EXE\\\" C:\\\\Temp\\\\notes.txt", "Notepad", MS,
     "NOTEPAD.EXE", EXPL, 0x0F},
    {SYS32 "mstsc.exe", "\\\"" SYS32 "mstsc.exe\\\" /v:winapp-01", "Remote Desktop Connection", MS,
     "mstsc.exe", EXPL, 0x08},
    {SYS32 "WindowsPowerShell\\\\v1.0\\\\powershell.exe",
     "powershell.exe -NoProfile -Command Get-Service | Where-Object Status -eq Stopped",
     "Windows PowerShell", MS, "PowerShell.EXE", CMD, 0x0C},
    {SYS32 "cmd.exe", "\\\"" SYS32 "cmd.exe\\\" /c ping -n 1 fs-01", "Windows Command Processor",
     MS, "Cmd.Exe", EXPL, 0x0C},
    {SYS32 "PING.EXE", "ping -n 1 fs-01", "TCP/IP Ping Command", MS, "ping.exe", CMD, 0x0C},
    {SYS32 "ipconfig.exe", "ipconfig /all", "IP Configuration Utility", MS, "ipconfig.exe", CMD,
     0x0C},
    {PF "Git\\\\cmd\\\\git.exe", "git.exe fetch --all --prune", "Git for Windows", "Git",
     "The Git Development Community", "git.exe", CMD, 0x04},
    {PF "Microsoft VS Code\\\\Code.exe",
     "\\\"" PF
     "Microsoft VS Code\\\\Code.exe\\\" --type=utility --utility-sub-type=node.mojom.NodeService",
     "Visual Studio Code", "Visual Studio Code", "Microsoft Corporation", "electron.exe", EXPL,
     0x0C},
    {PF "nodejs\\\\node.exe",
     "node.exe .\\\\node_modules\\\\webpack\\\\bin\\\\webpack.js --mode production",
     "Node.js JavaScript Runtime", "Node.js", "Node.js", "node.exe", CMD, 0x04},
    {PF "Salesforce\\\\Dialer\\\\dialer.exe",
     "\\\"" PF "Salesforce\\\\Dialer\\\\dialer.exe\\\" /tray", "Sales Dialer", "Sales Dialer",
     "Salesforce, Inc.", "dialer.exe", EXPL, 0x02},
    {PF "7-Zip\\\\7zFM.exe",
     "\\\"" PF "7-Zip\\\\7zFM.exe\\\" \\\"C:\\\\Users\\\\Public\\\\Downloads\\\\report.zip\\\"",
     "7-Zip File Manager", "7-Zip", "Igor Pavlov", "7zFM.exe", EXPL, 0x0F},
    {SYS32 "svchost.exe", SYS32 "svchost.exe -k netsvcs -p -s Schedule",
     "Host Process for Windows Services", MS, "svchost.exe", SVC, 0x80},
    {SYS32 "svchost.exe", SYS32 "svchost.exe -k wsappx -p -s AppXSvc",
     "Host Process for Windows Services", MS, "svchost.exe", SVC, 0x80},
    {SYS32 "svchost.exe", SYS32 "svchost.exe -k LocalService -p -s W32Time",
     "Host Process for Windows Services", MS, "svchost.exe", SVC, 0x80},
    {SYS32 "taskhostw.exe", "taskhostw.exe Install $(Arg0)", "Host Process for Windows Tasks", MS,
     "taskhostw.exe", HOSTP, 0x80},
    {SYS32 "wbem\\\\WmiPrvSE.exe", SYS32 "wbem\\\\wmiprvse.exe -secured -Embedding",
     "WMI Provider Host", MS, "Wmiprvse.exe", HOSTP, 0x80},
    {SYS32 "conhost.exe", "\\\\??\\\\" SYS32 "conhost.exe 0xffffffff -ForceV1",
     "Console Window Host", MS, "CONHOST.EXE", CMD, 0x8C},
    {SYS32 "SearchProtocolHost.exe",
     SYS32 "SearchProtocolHost.exe Global\\\\UsGthrFltPipeMssGthrPipe_S-1-5-21 1 -2147483646 "
           "Software\\\\Microsoft\\\\Windows Search",
     "Microsoft Windows Search Protocol Host", "Windows\u00ae Search", "Microsoft Corporation",
     "SearchProtocolHost.exe", SYS32 "SearchIndexer.exe", SYS32 "SearchIndexer.exe /Embedding",
     0x80},
    {"C:\\\\ProgramData\\\\Microsoft\\\\Windows "
     "Defender\\\\Platform\\\\4.18.25010.11-0\\\\MpCmdRun.exe",
     "MpCmdRun.exe SignatureUpdate -ScheduleJob -RestrictPrivileges",
     "Microsoft Malware Protection Command Line Utility", MS, "MpCmdRun.exe", HOSTP, 0x80},
    {SYS32 "gpupdate.exe", "gpupdate.exe /target:user", "Microsoft Group Policy Update Utility", MS,
     "GPUpdate.exe", HOSTP, 0x80},
    {PF86 "Google\\\\GoogleUpdater\\\\134.0.6985.0\\\\updater.exe",
     "\\\"" PF86 "Google\\\\GoogleUpdater\\\\134.0.6985.0\\\\updater.exe\\\" --wake --system",
     "Google Updater", "Google Updater", "Google LLC", "updater.exe", HOSTP, 0x80},
};
const uint32_t synth_n_processes = sizeof synth_processes / sizeof synth_processes[0];
