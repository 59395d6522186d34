/* Entra ID sign-ins (SignInLogs and NonInteractiveUserSignInLogs) and Kubernetes audit events. */
#include "data/synth_slice.h"

static const char *reason(int error)
{
    return error == 50126 ? "Error validating credentials due to invalid username or password."
           : error == 50076
               ? "Due to a configuration change made by your administrator, or because you moved "
                 "to "
                 "a new location, you must use multi-factor authentication to access the resource."
           : error == 50053
               ? "The account is locked, you've tried to sign in too many times with an incorrect "
                 "user ID or password."
               : "";
}

void synth_sign_in(struct synth_slice *s, int64_t t, const struct synth_person *p,
                   struct synth_ip from, struct synth_str agent, struct synth_str place, int error,
                   bool interactive)
{
    struct synth_rng *r = &s->rng;
    const struct synth_world *w = s->world;
    uint64_t k = synth_skewed(r, synth_n_cloud_apps);
    const char *app = synth_cloud_apps[k], *why = reason(error);
    uint64_t id = synth_next(r), id2 = synth_next(r);
    bool phone = agent.p == p->phone_agent.p;
    struct synth_line l;
    int64_t now = t;
#define UUID(x, y)                                                                                 \
    HEXW((x) >> 32, 8), "-", HEXW((x) >> 16 & 0xFFFF, 4), "-4", HEXW((x)&0xFFF, 3), "-a",          \
        HEXW((y) >> 48 & 0xFFF, 3), "-", HEXW((y)&0xFFFFFFFFFFFF, 12)
    if (!synth_begin(s, SYNTH_F_ENTRA, &now, &l))
        return;
    PUT(&l, "{\"time\":\"", AT(SYNTH_ISO_7), "\",\"resourceId\":\"/tenants/", w->tenant,
        "/providers/Microsoft.aadiam\",\"operationName\":\"Sign-in "
        "activity\",\"operationVersion\":\"1.0\","
        "\"category\":\"",
        interactive ? "SignInLogs" : "NonInteractiveUserSignInLogs", "\",\"tenantId\":\"",
        w->tenant, "\",\"resultType\":\"", error, "\",\"resultSignature\":\"None\"");
    if (error)
        PUT(&l, ",\"resultDescription\":\"", why, "\"");
    PUT(&l, ",\"durationMs\":0,\"callerIpAddress\":\"", from, "\",\"correlationId\":\"",
        UUID(id ^ id2, id), "\",\"identity\":\"", p->name,
        "\",\"Level\":4,\"location\":\"DE\",\"properties\":{\"id\":\"", UUID(id, id2),
        "\",\"createdDateTime\":\"", AT(SYNTH_ISO_7_TZ), "\",\"userDisplayName\":\"", p->name,
        "\",\"userPrincipalName\":\"", p->mail, "\",\"userId\":\"", p->object_id, "\",\"appId\":\"",
        UUID((k + 1) * 0x9E3779B97F4A7C15u, (k + 1) * 0xBF58476D1CE4E5B9u),
        "\",\"appDisplayName\":\"", app, "\",\"ipAddress\":\"", from,
        "\",\"status\":{\"errorCode\":", error);
    if (error)
        PUT(&l, ",\"failureReason\":\"", why, "\"");
    PUT(&l, ",\"additionalDetails\":\"",
        error         ? ""
        : interactive ? "MFA completed in Azure AD"
                      : "MFA requirement satisfied by claim in the token",
        "\"},\"clientAppUsed\":\"",
        phone || !interactive ? "Mobile Apps and Desktop clients" : "Browser",
        "\",\"userAgent\":\"", agent, "\",\"deviceDetail\":{\"deviceId\":\"");
    if (!phone && !error)
        PUT(&l, UUID((uint64_t)p->workstation * 0x9E3779B97F4A7C15u,
                     (uint64_t)p->uid * 0xBF58476D1CE4E5B9u));
    PUT(&l, "\",\"displayName\":\"",
        phone || error ? synth_text("") : w->host[p->workstation].upper,
        "\",\"operatingSystem\":\"", phone ? "Ios 18.3" : "Windows10",
        "\",\"isCompliant\":", phone || error ? "false" : "true",
        ",\"isManaged\":", phone || error ? "false" : "true", "},\"location\":{", place,
        "},\"conditionalAccessStatus\":\"", error ? "failure" : "success",
        "\",\"appliedConditionalAccessPolicies\":[],\"originalRequestId\":\"", UUID(id, id2),
        "\",\"isInteractive\":", interactive ? "true" : "false",
        ",\"tokenIssuerName\":\"\",\"tokenIssuerType\":\"AzureAD\","
        "\"processingTimeInMilliseconds\":",
        synth_tailed(r, 45, 5), ",\"riskDetail\":\"none\",\"riskLevelAggregated\":\"",
        s->beat && !error ? "medium" : "none",
        "\",\"riskLevelDuringSignIn\":\"none\",\"riskState\":\"none\",\"riskEventTypes\":[],"
        "\"resourceTenantId\":\"",
        w->tenant, "\",\"homeTenantId\":\"", w->tenant,
        "\",\"authenticationDetails\":[{\"authenticationStepDateTime\":\"", AT(SYNTH_ISO_7_TZ),
        "\",\"authenticationMethod\":\"", interactive ? "Password" : "Previously satisfied",
        "\",\"succeeded\":", error == 50126 || error == 50053 ? "false" : "true",
        ",\"authenticationStepRequirement\":\"Primary "
        "authentication\"}],\"authenticationRequirement\":\"",
        interactive ? "multiFactorAuthentication" : "singleFactorAuthentication",
        "\",\"signInIdentifier\":\"", interactive ? p->mail : synth_text(""),
        "\",\"userType\":\"Member\",\"flaggedForReview\":false,\"autonomousSystemNumber\":",
        s->beat ? 4134 + (from.v >> 8) % 50000 : p->asn, ",\"uniqueTokenIdentifier\":\"");
    synth_put_rand_base62(&l, r, 22);
    PUT(&l, "\",\"incomingTokenType\":\"", interactive ? "none" : "refreshToken",
        "\",\"authenticationProtocol\":\"none\"}}");
    synth_end(s, now, &l);
}

void synth_kube(struct synth_slice *s, int64_t t, struct synth_str user, const char *group,
                struct synth_ip from, const char *agent, const char *verb, const char *resource,
                const char *api_group, const char *name_space, struct synth_str name,
                uint32_t status)
{
    struct synth_rng *r = &s->rng;
    struct synth_line l;
    int64_t now = t;
    bool list = verb[0] == 'l' || verb[0] == 'w', allow = status < 400;
    if (!synth_begin(s, SYNTH_F_KUBE, &now, &l))
        return;
    PUT(&l, "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/"
            "v1\",\"level\":\"Metadata\",\"auditID\":\"");
    synth_put_uuid(&l, r);
    PUT(&l, "\",\"stage\":\"ResponseComplete\",\"requestURI\":\"", api_group[0] ? "/apis/" : "/api",
        api_group, "/v1");
    if (name_space[0])
        PUT(&l, "/namespaces/", name_space);
    PUT(&l, "/", resource);
    if (!list && name.n)
        PUT(&l, "/", name);
    else if (list)
        PUT(&l, "?limit=500", verb[0] == 'w' ? "&watch=true&resourceVersion=" : "&continue=",
            verb[0] == 'w' ? 25282120 + (uint64_t)now / 900000 : 0);
    PUT(&l, "\",\"verb\":\"", verb, "\",\"user\":{\"username\":\"", user, "\",\"groups\":[\"",
        group, "\",\"system:authenticated\"]},\"sourceIPs\":[\"", from, "\"],\"userAgent\":\"",
        agent, "\",\"objectRef\":{\"resource\":\"", resource, "\"");
    if (name_space[0])
        PUT(&l, ",\"namespace\":\"", name_space, "\"");
    if (name.n && !list)
        PUT(&l, ",\"name\":\"", name, "\"");
    if (api_group[0])
        PUT(&l, ",\"apiGroup\":\"", api_group, "\"");
    PUT(&l, ",\"apiVersion\":\"v1\"},\"responseStatus\":{\"metadata\":{}");
    if (!allow)
        PUT(&l, ",\"status\":\"Failure\",\"message\":\"", resource, " is forbidden: User \\\"",
            user, "\\\" cannot ", verb, " resource \\\"", resource,
            "\\\"\",\"reason\":\"Forbidden\"");
    PUT(&l, ",\"code\":", status, "},\"requestReceivedTimestamp\":\"", AT(SYNTH_ISO_US),
        "\",\"stageTimestamp\":\"",
        ((struct synth_time){&s->day->date, now + synth_tailed(r, 700, 6), SYNTH_ISO_US}),
        "\",\"annotations\":{\"authorization.k8s.io/decision\":\"", allow ? "allow" : "forbid",
        "\",\"authorization.k8s.io/reason\":\"");
    if (allow)
        PUT(&l, "RBAC: allowed by ClusterRoleBinding \\\"", user, "\\\" of ClusterRole \\\"",
            list ? "view" : "edit", "\\\" to User \\\"", user, "\\\"");
    PUT(&l, "\"}}");
    synth_end(s, now, &l);
}

struct resource {
    const char *name, *group;
};
static const struct resource resources[] = {
    {"pods", ""},          {"deployments", "apps"},
    {"services", ""},      {"configmaps", ""},
    {"events", ""},        {"replicasets", "apps"},
    {"nodes", ""},         {"ingresses", "networking.k8s.io"},
    {"secrets", ""},       {"jobs", "batch"},
    {"cronjobs", "batch"}, {"persistentvolumeclaims", ""}};
enum { RESOURCES = sizeof resources / sizeof resources[0] };

void synth_kube_work(struct synth_slice *s, int64_t t, const struct synth_person *p,
                     struct synth_ip from)
{
    static const char *const verbs[] = {"get",   "list",  "list",   "get",
                                        "patch", "watch", "create", "delete"};
    static const char *const agents[] = {"kubectl/v1.32.2 (linux/amd64) kubernetes/67a30c0",
                                         "kubectl/v1.31.6 (windows/amd64) kubernetes/6b3560b",
                                         "k9s/v0.40.5 (linux/amd64) kubernetes/$Format",
                                         "Lens/2025.2.0 (win32/x64)"};
    struct synth_rng *r = &s->rng;
    uint32_t n = 1 + synth_below(r, 4);
    for (uint32_t i = 0; i < n; i++) {
        const struct resource *what = &resources[synth_skewed(r, RESOURCES)];
        const char *verb = verbs[synth_skewed(r, 8)];
        bool denied = synth_chance(r, 15);
        synth_kube(s, t, p->mail, p->role == SYNTH_ADMIN ? "platform-admins" : "developers", from,
                   agents[p->index % 4], verb, what->name, what->group,
                   what->name[0] == 'n' ? "" : SYNTH_SKEWED(r, namespaces),
                   s->world->pod[synth_skewed(r, SYNTH_PODS)],
                   denied                             ? 403
                   : verb[0] == 'c' && verb[1] == 'r' ? 201
                                                      : 200);
        t += synth_range(r, 60, 2500) * INT64_C(1000);
    }
}

void synth_kube_service(struct synth_slice *s, int64_t t)
{
    static const char *const users[] = {"system:serviceaccount:monitoring:prometheus",
                                        "system:serviceaccount:ingress-nginx:ingress-nginx",
                                        "system:serviceaccount:kube-system:coredns",
                                        "system:kube-controller-manager",
                                        "system:kube-scheduler",
                                        "system:serviceaccount:ci:runner",
                                        "system:serviceaccount:cert-manager:cert-manager",
                                        "system:apiserver"};
    static const char *const agents[] = {
        "Prometheus/3.1.0",
        "nginx-ingress-controller/v1.12.0 (linux/amd64) ingress-nginx/ba73b2c",
        "coredns/1.12.0",
        "kube-controller-manager/v1.32.2 (linux/amd64) kubernetes/67a30c0/leader-election",
        "kube-scheduler/v1.32.2 (linux/amd64) kubernetes/67a30c0/leader-election",
        "gitlab-runner/17.9.0",
        "cert-manager-controller/v1.17.1 (linux/amd64)",
        "kube-apiserver/v1.32.2 (linux/amd64) kubernetes/67a30c0"};
    struct synth_rng *r = &s->rng;
    uint32_t k = synth_skewed(r, 8);
    const struct synth_host *node = synth_any_host(s, SYNTH_KUBE);
    const struct resource *what = &resources[(k * 3 + synth_below(r, 3)) % RESOURCES];
    if (synth_chance(r, 350)) {
        char user[64];
        struct synth_line l = {user};
        PUT(&l, "system:node:", node->name);
        synth_kube(s, t, (struct synth_str){user, (uint32_t)(l.p - user)}, "system:nodes", node->ip,
                   "kubelet/v1.32.2 (linux/amd64) kubernetes/67a30c0",
                   synth_chance(r, 500) ? "patch" : "get", synth_chance(r, 500) ? "pods" : "leases",
                   synth_chance(r, 500) ? "" : "coordination.k8s.io", SYNTH_SKEWED(r, namespaces),
                   s->world->pod[synth_skewed(r, SYNTH_PODS)], 200);
        return;
    }
    synth_kube(s, t, synth_text(users[k]), "system:serviceaccounts", node->ip, agents[k],
               synth_chance(r, 500)   ? "list"
               : synth_chance(r, 500) ? "watch"
                                      : "get",
               what->name, what->group, synth_chance(r, 300) ? "" : SYNTH_SKEWED(r, namespaces),
               s->world->pod[synth_skewed(r, SYNTH_PODS)], 200);
}
