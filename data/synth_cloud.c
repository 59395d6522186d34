/* AWS CloudTrail records, one compact JSON object a line. */
#include "data/synth_slice.h"

static const struct synth_api apis[] = {
    {"s3", "GetObject", true, "bucketName", SYNTH_H_BUCKET},
    {"s3", "PutObject", false, "bucketName", SYNTH_H_BUCKET},
    {"s3", "ListObjects", true, "bucketName", SYNTH_H_BUCKET},
    {"ec2", "DescribeInstances", true, "instancesSet", SYNTH_H_INSTANCE},
    {"sts", "GetCallerIdentity", true, NULL, SYNTH_H_NONE},
    {"s3", "GetBucketAcl", true, "bucketName", SYNTH_H_BUCKET},
    {"ec2", "DescribeSecurityGroups", true, NULL, SYNTH_H_NONE},
    {"ec2", "DescribeVolumes", true, "instancesSet", SYNTH_H_INSTANCE},
    {"monitoring", "GetMetricData", true, NULL, SYNTH_H_NONE},
    {"logs", "DescribeLogGroups", true, NULL, SYNTH_H_NONE},
    {"ec2", "DescribeInstanceStatus", true, "instancesSet", SYNTH_H_INSTANCE},
    {"iam", "GetUser", true, "userName", SYNTH_H_USER},
    {"iam", "ListAttachedUserPolicies", true, "userName", SYNTH_H_USER},
    {"kms", "Decrypt", true, NULL, SYNTH_H_NONE},
    {"secretsmanager", "GetSecretValue", true, "secretId", SYNTH_H_TEXT},
    {"ssm", "GetParameter", true, "name", SYNTH_H_TEXT},
    {"rds", "DescribeDBInstances", true, NULL, SYNTH_H_NONE},
    {"lambda", "Invoke", false, "functionName", SYNTH_H_TEXT},
    {"ecr", "BatchGetImage", true, "repositoryName", SYNTH_H_TEXT},
    {"ec2", "StopInstances", false, "instancesSet", SYNTH_H_INSTANCE},
    {"ec2", "StartInstances", false, "instancesSet", SYNTH_H_INSTANCE},
    {"ec2", "CreateTags", false, "resourcesSet", SYNTH_H_INSTANCE},
};
enum { APIS = sizeof apis / sizeof apis[0] };
static const char *const regions[] = {"eu-central-1", "eu-central-1", "eu-central-1", "eu-west-1",
                                      "us-east-1"};
static const char *const cli_agents[] = {
    "aws-cli/2.24.10 md/awscrt#0.23.8 ua/2.0 os/linux#6.1.0-31-amd64 md/arch#x86_64 "
    "lang/python#3.12.6",
    "Boto3/1.36.26 md/Botocore#1.36.26 ua/2.0 os/linux#6.8.0-1021-aws md/arch#x86_64 "
    "lang/python#3.11.2",
    "APN/1.0 HashiCorp/1.0 Terraform/1.10.5 (+https://www.terraform.io) "
    "terraform-provider-aws/5.88.0",
    "aws-sdk-go-v2/1.36.1 os/linux lang/go#1.23.6 md/GOOS#linux md/GOARCH#amd64 api/ec2#1.203.0",
    "console.amazonaws.com"};

static void put_user(struct synth_slice *s, int64_t now, struct synth_line *l,
                     const struct synth_person *p)
{
    const struct synth_world *w = s->world;
    PUT(l, "{\"type\":\"IAMUser\",\"principalId\":\"", p->iam_id,
        "\",\"arn\":\"arn:aws:iam::", w->account, ":user/", p->user, "\",\"accountId\":\"",
        w->account, "\",\"accessKeyId\":\"", p->access_key, "\",\"userName\":\"", p->user, "\"");
    if (p->index % 2)
        PUT(l,
            ",\"sessionContext\":{\"sessionIssuer\":{},\"webIdFederationData\":{},\"attributes\":{"
            "\"creationDate\":\"",
            ((struct synth_time){&s->day->date, now - now % SYNTH_HOUR, SYNTH_ISO_S}),
            "\",\"mfaAuthenticated\":\"true\"}}");
    PUT(l, "}");
}

static void put_role(struct synth_slice *s, int64_t now, struct synth_line *l,
                     struct synth_str instance)
{
    const struct synth_world *w = s->world;
    static const char *const roles[] = {"app-runtime", "ci-deploy", "backup-writer",
                                        "metrics-reader"};
    uint32_t k = (uint8_t)instance.p[5] % 4;
    const char *role = roles[k];
    PUT(l, "{\"type\":\"AssumedRole\",\"principalId\":\"AROA",
        HEXUP(w->seed ^ (k + 77) * 0x9E3779B97F4A7C15u, 16), "A:", instance,
        "\",\"arn\":\"arn:aws:sts::", w->account, ":assumed-role/", role, "/", instance,
        "\",\"accountId\":\"", w->account, "\",\"accessKeyId\":\"ASIA",
        HEXUP(((uint64_t)k << 60) ^ (uint64_t)(now / SYNTH_HOUR) * 0x9E3779B97F4A7C15u, 16),
        "\",\"sessionContext\":{\"sessionIssuer\":{\"type\":\"Role\",\"principalId\":\"AROA",
        HEXUP(w->seed ^ (k + 77) * 0x9E3779B97F4A7C15u, 16),
        "A\",\"arn\":\"arn:aws:iam::", w->account, ":role/", role, "\",\"accountId\":\"",
        w->account, "\",\"userName\":\"", role,
        "\"},\"webIdFederationData\":{},\"attributes\":{\"creationDate\":\"",
        ((struct synth_time){&s->day->date, now - now % SYNTH_HOUR, SYNTH_ISO_S}),
        "\",\"mfaAuthenticated\":\"false\"},\"ec2RoleDelivery\":\"2.0\"}}");
}

static void put_request(struct synth_slice *s, struct synth_line *l, const struct synth_api *api,
                        struct synth_str text, const char *region)
{
    struct synth_rng *r = &s->rng;
    if (!api->request_key) {
        PUT(l, "null");
        return;
    }
    PUT(l, "{\"", api->request_key, "\":");
    if (api->hole == SYNTH_H_INSTANCE) {
        PUT(l, "{\"items\":[{\"", api->request_key[0] == 'r' ? "resourceId" : "instanceId", "\":\"",
            text, "\"}]}");
    } else {
        PUT(l, "\"", text, "\"");
        if (api->hole == SYNTH_H_BUCKET)
            PUT(l, ",\"Host\":\"", text, ".s3.", region, ".amazonaws.com\",\"key\":\"",
                SYNTH_SKEWED(r, documents), synth_skewed(r, 90000), ".parquet\"");
    }
    PUT(l, "}");
}

static void put_record(struct synth_slice *s, int64_t t, const struct synth_person *p,
                       struct synth_str instance, struct synth_ip from, const struct synth_api *api,
                       struct synth_str text, const char *error)
{
    struct synth_rng *r = &s->rng;
    const struct synth_world *w = s->world;
    const char *region = regions[synth_below(r, 5)];
    struct synth_line l;
    int64_t now = t;
    if (!synth_begin(s, SYNTH_F_CLOUDTRAIL, &now, &l))
        return;
    PUT(&l, "{\"eventVersion\":\"1.10\",\"userIdentity\":");
    if (p)
        put_user(s, now, &l, p);
    else
        put_role(s, now, &l, instance);
    PUT(&l, ",\"eventTime\":\"", AT(SYNTH_ISO_S), "\",\"eventSource\":\"", api->service,
        ".amazonaws.com\",\"eventName\":\"", api->name, "\",\"awsRegion\":\"", region,
        "\",\"sourceIPAddress\":\"", from, "\",\"userAgent\":\"",
        cli_agents[p ? (p->index + (synth_below(r, 5) == 0)) % 5 : 1 + (from.v & 1) * 2], "\"");
    if (error)
        PUT(&l, ",\"errorCode\":\"", error, "\",\"errorMessage\":\"User: arn:aws:iam::", w->account,
            ":user/", p ? p->user : instance, " is not authorized to perform: ", api->service, ":",
            api->name, "\"");
    PUT(&l, ",\"requestParameters\":");
    put_request(s, &l, api, text, region);
    PUT(&l, ",\"responseElements\":", api->read_only || error ? "null" : "{\"_return\":true}",
        ",\"additionalEventData\":{\"SignatureVersion\":\"SigV4\",\"CipherSuite\":\"TLS_AES_128_"
        "GCM_SHA256\","
        "\"bytesTransferredIn\":0,\"AuthenticationMethod\":\"AuthHeader\",\"bytesTransferredOut\":",
        synth_tailed(r, 180, 9), "},\"requestID\":\"");
    synth_put_rand_upper(&l, r, 16);
    PUT(&l, "\",\"eventID\":\"");
    synth_put_uuid(&l, r);
    PUT(&l, "\",\"readOnly\":", api->read_only ? "true" : "false");
    if (api->hole == SYNTH_H_BUCKET)
        PUT(&l, ",\"resources\":[{\"accountId\":\"", w->account,
            "\",\"type\":\"AWS::S3::Bucket\",\"ARN\":\"arn:aws:s3:::", text, "\"}]");
    PUT(&l, ",\"eventType\":\"AwsApiCall\",\"managementEvent\":true,\"recipientAccountId\":\"",
        w->account,
        "\",\"eventCategory\":\"Management\",\"tlsDetails\":{\"tlsVersion\":\"TLSv1.3\","
        "\"cipherSuite\":"
        "\"TLS_AES_128_GCM_SHA256\",\"clientProvidedHostHeader\":\"",
        api->service, ".", region, ".amazonaws.com\"}}");
    synth_end(s, now, &l);
}

static struct synth_str fill(struct synth_slice *s, const struct synth_api *api,
                             const struct synth_person *p)
{
    struct synth_rng *r = &s->rng;
    switch (api->hole) {
    case SYNTH_H_BUCKET:
        return s->world->bucket[synth_skewed(r, SYNTH_BUCKETS)];
    case SYNTH_H_INSTANCE:
        return s->world->instance[synth_skewed(r, SYNTH_INSTANCES)];
    case SYNTH_H_USER:
        return p ? p->user : s->world->person[synth_skewed(r, s->world->people)].user;
    default:
        return synth_text(SYNTH_SKEWED(r, kube_apps));
    }
}

void synth_cloud_call(struct synth_slice *s, int64_t t, const struct synth_person *p,
                      struct synth_ip from, const struct synth_api *api, struct synth_str text,
                      const char *error)
{
    put_record(s, t, p, (struct synth_str){0}, from, api, text.n ? text : fill(s, api, p), error);
}

void synth_cloud_work(struct synth_slice *s, int64_t t, const struct synth_person *p,
                      struct synth_ip from)
{
    struct synth_rng *r = &s->rng;
    uint32_t n = 1 + synth_below(r, 5);
    for (uint32_t i = 0; i < n; i++) {
        const struct synth_api *api = &apis[synth_skewed(r, APIS)];
        synth_cloud_call(s, t, p, from, api, fill(s, api, p),
                         synth_chance(r, 25) ? "AccessDenied" : NULL);
        t += synth_range(r, 80, 4000) * INT64_C(1000);
    }
}

/* Programs on instances, with the roles they assume. */
void synth_cloud_service(struct synth_slice *s, int64_t t)
{
    struct synth_rng *r = &s->rng;
    uint32_t k = synth_skewed(r, SYNTH_INSTANCES), n = 1 + synth_below(r, 3);
    const struct synth_host *h =
        &s->world->host[s->world->first[SYNTH_APP] + k % s->world->count[SYNTH_APP]];
    for (uint32_t i = 0; i < n; i++) {
        const struct synth_api *api = &apis[synth_skewed(r, APIS - 3)];
        put_record(s, t, NULL, s->world->instance[k], h->ip, api, fill(s, api, NULL), NULL);
        t += synth_range(r, 20, 900) * INT64_C(1000);
    }
}
