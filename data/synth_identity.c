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

/* Ids of one sign-in, and of things that keep theirs. */
struct uuid {
    uint64_t a, b;
};
#define UUID(u)                                                                                    \
    HEXW((u).a >> 32, 8), "-", HEXW((u).a >> 16 & 0xFFFF, 4), "-4", HEXW((u).a & 0xFFF, 3), "-a",  \
        HEXW((u).b >> 48 & 0xFFF, 3), "-", HEXW((u).b & 0xFFFFFFFFFFFF, 12)
static struct uuid fixed_uuid(uint64_t k)
{
    return (struct uuid){(k + 1) * 0x9E3779B97F4A7C15u, (k + 1) * 0xBF58476D1CE4E5B9u};
}

struct sign_in {
    const struct synth_person *p;
    struct synth_ip from;
    struct synth_str agent, place;
    struct uuid id;
    const char *why;
    int error;
    bool interactive, phone;
};

static void put_client(struct synth_slice *s, struct synth_line *l, const struct sign_in *x)
{
    bool managed = !x->phone && !x->error;
    PUT(l, "\"clientAppUsed\":\"",
        x->phone || !x->interactive ? "Mobile Apps and Desktop clients" : "Browser",
        "\",\"userAgent\":\"", x->agent, "\",\"deviceDetail\":{\"deviceId\":\"");
    if (managed)
        PUT(l, UUID(fixed_uuid(x->p->workstation + 5000)));
    PUT(l, "\",\"displayName\":\"",
        managed ? s->world->host[x->p->workstation].upper : synth_text(""),
        "\",\"operatingSystem\":\"", x->phone ? "Ios 18.3" : "Windows10",
        "\",\"isCompliant\":", managed ? "true" : "false",
        ",\"isManaged\":", managed ? "true" : "false", "},\"location\":{", x->place,
        "},\"mfaDetail\":{}");
}

static void put_outcome(struct synth_slice *s, int64_t now, struct synth_line *l,
                        const struct sign_in *x)
{
    bool wrong = x->error == 50126 || x->error == 50053;
    PUT(l, ",\"conditionalAccessStatus\":\"", x->error ? "failure" : "success",
        "\",\"appliedConditionalAccessPolicies\":[],\"authenticationContextClassReferences\":[],"
        "\"originalRequestId\":"
        "\"",
        UUID(x->id), "\",\"isInteractive\":", x->interactive ? "true" : "false",
        ",\"tokenIssuerName\":\"\",\"tokenIssuerType\":\"AzureAD\","
        "\"authenticationProcessingDetails\":[{\"key\":"
        "\"Is CAE "
        "Token\",\"value\":\"False\"}],\"networkLocationDetails\":[],\"clientCredentialType\":"
        "\"none\","
        "\"processingTimeInMilliseconds\":",
        synth_tailed(&s->rng, 45, 5), ",\"riskDetail\":\"none\",\"riskLevelAggregated\":\"",
        s->beat && !x->error ? "medium" : "none",
        "\",\"riskLevelDuringSignIn\":\"none\",\"riskState\":\"none\",\"riskEventTypes\":[],"
        "\"riskEventTypes_v2\":[],"
        "\"authenticationDetails\":[{\"authenticationStepDateTime\":\"",
        AT(SYNTH_ISO_7_TZ), "\",\"authenticationMethod\":\"",
        x->interactive ? "Password" : "Previously satisfied",
        "\",\"authenticationMethodDetail\":\"", x->interactive ? "Password in the cloud" : "",
        "\",\"succeeded\":", wrong ? "false" : "true", ",\"authenticationStepResultDetail\":\"",
        wrong            ? "Invalid username or password"
        : x->interactive ? "Correct password"
                         : "First factor requirement satisfied by claim in the token",
        "\",\"authenticationStepRequirement\":\"Primary "
        "authentication\",\"StatusSequence\":0,\"RequestSequence\":",
        x->interactive ? 1 : 0,
        "}],\"authenticationRequirementPolicies\":[],\"sessionLifetimePolicies\":[],"
        "\"authenticationRequirement\":\"",
        x->interactive ? "multiFactorAuthentication" : "singleFactorAuthentication");
}

static void put_account(struct synth_slice *s, struct synth_line *l, const struct sign_in *x,
                        struct uuid resource)
{
    struct synth_str tenant = s->world->tenant;
    PUT(l, "\",\"alternateSignInName\":\"", x->p->mail, "\",\"signInIdentifier\":\"",
        x->interactive ? x->p->mail : synth_text(""),
        "\",\"servicePrincipalId\":\"\",\"userType\":\"Member\",\"flaggedForReview\":false,"
        "\"isTenantRestricted\":"
        "false,\"autonomousSystemNumber\":",
        s->beat ? 4134 + (x->from.v >> 8) % 50000 : x->p->asn,
        ",\"crossTenantAccessType\":\"none\",\"privateLinkDetails\":{},\"ssoExtensionVersion\":"
        "\"\",\"resourceId\":\"",
        UUID(resource), "\",\"resourceTenantId\":\"", tenant, "\",\"homeTenantId\":\"", tenant,
        "\",\"tenantId\":\"", tenant, "\",\"uniqueTokenIdentifier\":\"");
    synth_put_rand_base62(l, &s->rng, 22);
    PUT(l, "\",\"authenticationStrengths\":[],\"incomingTokenType\":\"",
        x->interactive ? "none" : "refreshToken",
        "\",\"authenticationProtocol\":\"none\",\"appServicePrincipalId\":null,"
        "\"resourceServicePrincipalId\":\"",
        UUID(fixed_uuid(resource.a % 4096)),
        "\",\"rngcStatus\":0,\"signInTokenProtectionStatus\":\"none\",\"originalTransferMethod\":"
        "\"none\"}}");
}

void synth_sign_in(struct synth_slice *s, int64_t t, const struct synth_person *p,
                   struct synth_ip from, struct synth_str agent, struct synth_str place, int error,
                   bool interactive)
{
    struct synth_rng *r = &s->rng;
    const struct synth_world *w = s->world;
    uint64_t k = synth_skewed(r, synth_n_cloud_apps), bits = synth_next(r);
    struct sign_in x = {p,
                        from,
                        agent,
                        place,
                        {bits, synth_next(r)},
                        reason(error),
                        error,
                        interactive,
                        agent.p == p->phone_agent.p};
    struct uuid correlation = {bits ^ x.id.b, bits};
    struct synth_line l;
    int64_t now = t;
    if (!synth_begin(s, SYNTH_F_ENTRA, &now, &l))
        return;
    PUT(&l, "{\"time\":\"", AT(SYNTH_ISO_7), "\",\"resourceId\":\"/tenants/", w->tenant,
        "/providers/Microsoft.aadiam\",\"operationName\":\"Sign-in "
        "activity\",\"operationVersion\":\"1.0\","
        "\"category\":\"",
        interactive ? "SignInLogs" : "NonInteractiveUserSignInLogs", "\",\"tenantId\":\"",
        w->tenant, "\",\"resultType\":\"", error, "\",\"resultSignature\":\"None\"");
    if (error)
        PUT(&l, ",\"resultDescription\":\"", x.why, "\"");
    PUT(&l, ",\"durationMs\":0,\"callerIpAddress\":\"", from, "\",\"correlationId\":\"",
        UUID(correlation), "\",\"identity\":\"", p->name,
        "\",\"Level\":4,\"location\":\"DE\",\"properties\":{\"id\":\"", UUID(x.id),
        "\",\"createdDateTime\":\"", AT(SYNTH_ISO_7_TZ), "\",\"correlationId\":\"",
        UUID(correlation), "\",\"userDisplayName\":\"", p->name, "\",\"userPrincipalName\":\"",
        p->mail, "\",\"userId\":\"", p->object_id, "\",\"appId\":\"", UUID(fixed_uuid(k)),
        "\",\"appDisplayName\":\"", synth_cloud_apps[k], "\",\"ipAddress\":\"", from,
        "\",\"status\":{\"errorCode\":", error);
    if (error)
        PUT(&l, ",\"failureReason\":\"", x.why, "\"");
    PUT(&l, ",\"additionalDetails\":\"",
        error         ? ""
        : interactive ? "MFA completed in Azure AD"
                      : "MFA requirement satisfied by claim in the token",
        "\"},");
    put_client(s, &l, &x);
    put_outcome(s, now, &l, &x);
    put_account(s, &l, &x, fixed_uuid(k + 100));
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
