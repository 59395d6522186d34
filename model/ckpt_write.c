/* Writing checkpoints. Fault points besides those of base/file.h: "ckpt-manifest" (before the
 * manifest), "ckpt-rename" (manifest durable, directory not yet renamed), "ckpt-latest" (renamed,
 * LATEST not yet written). */
#include "model/ckpt_internal.h"

#include "base/error.h"
#include "base/file.h"
#include "base/h5.h"
#include "base/hash.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define F(name, is_int)                                                                            \
    {                                                                                              \
#name, offsetof(struct sec_model_config, name), is_int                                     \
    }
const struct sec_ckpt_field sec_ckpt_fields[] = {F(vocab_size, true),
                                                 F(hidden_size, true),
                                                 F(num_hidden_layers, true),
                                                 F(num_attention_heads, true),
                                                 F(intermediate_size, true),
                                                 F(max_position_embeddings, true),
                                                 F(max_relative_positions, true),
                                                 F(position_buckets, true),
                                                 F(conv_kernel_size, true),
                                                 F(layer_norm_eps, false),
                                                 F(initializer_range, false),
                                                 F(hidden_dropout_prob, false),
                                                 F(attention_probs_dropout_prob, false),
                                                 {0}};
#undef F

char *sec_ckpt_self_digits(char *text, size_t len)
{
    size_t tail = strlen(CKPT_SELF), digits = strlen("00000000\"\n}\n");
    if (len < tail || memcmp(text + len - tail, CKPT_SELF, tail - digits))
        return NULL;
    return text + len - digits;
}

/* One tensor of one arena as a dataset with its logical offset; its entry goes to the manifest. */
static int put_tensor(hid_t file, const struct sec_param *p, const struct sec_ckpt_arena *a,
                      cJSON *list)
{
    char name[160], crc[16];
    const float *data = a->data + p->offset;
    snprintf(name, sizeof name, "%s/%s", a->name, p->name);
    int rc = sec_h5_put_array(file, name, H5T_NATIVE_FLOAT, data, (size_t)p->count);
    if (rc)
        return rc;
    hid_t set = H5Dopen2(file, name, H5P_DEFAULT);
    if (set < 0)
        return sec_fail(SEC_EFAIL, "%s: cannot reopen dataset %s", CKPT_FILE, name);
    rc = sec_h5_put_u64(set, "offset", (uint64_t)p->offset);
    H5Dclose(set);
    cJSON *e = rc ? NULL : cJSON_CreateObject();
    snprintf(crc, sizeof crc, "%08x", sec_crc32c(0, data, (size_t)p->count * sizeof *data));
    if (!rc && (!cJSON_AddStringToObject(e, "arena", a->name) ||
                !cJSON_AddStringToObject(e, "name", p->name) ||
                !cJSON_AddNumberToObject(e, "offset", (double)p->offset) ||
                !cJSON_AddNumberToObject(e, "count", (double)p->count) ||
                !cJSON_AddStringToObject(e, "crc32c", crc) || !cJSON_AddItemToArray(list, e))) {
        cJSON_Delete(e);
        rc = sec_fail(SEC_ENOMEM, "out of memory for a manifest");
    }
    return rc;
}

static int write_tensors(const char *path, const struct sec_params *p,
                         const struct sec_ckpt_arena *arenas, int n_arenas, cJSON *list)
{
    hid_t file;
    int rc = sec_h5_create(path, &file);
    if (rc)
        return rc;
    for (int a = 0; a < n_arenas && !rc; a++) {
        hid_t group = H5Gcreate2(file, arenas[a].name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        if (group < 0)
            rc = sec_fail(SEC_EFAIL, "%s: cannot create group %s", path, arenas[a].name);
        else
            H5Gclose(group);
        for (int i = 0; i < p->n && !rc; i++)
            rc = put_tensor(file, &p->v[i], &arenas[a], list);
    }
    if (rc)
        sec_fail_at(rc, "%s", path);
    int closed = sec_h5_close(file, path);
    if (!rc)
        rc = closed;
    return rc ? rc : sec_fsync_path(path);
}

static cJSON *config_json(const struct sec_model_config *c)
{
    cJSON *o = cJSON_CreateObject();
    for (const struct sec_ckpt_field *f = sec_ckpt_fields; f->name; f++) {
        const void *v = (const char *)c + f->offset;
        cJSON_AddNumberToObject(o, f->name,
                                f->is_int ? (double)*(const int64_t *)v : *(const double *)v);
    }
    return o;
}

/* The manifest's text without its self CRC; tensors is taken over. */
static char *manifest_text(const struct sec_ckpt_info *info, int64_t file_bytes, cJSON *tensors)
{
    cJSON *o = cJSON_CreateObject(), *files, *file;
    cJSON_AddStringToObject(o, "format", CKPT_FORMAT);
    cJSON_AddNumberToObject(o, "version", CKPT_VERSION);
    cJSON_AddNumberToObject(o, "step", (double)info->step);
    cJSON_AddItemToObject(o, "model", config_json(&info->config));
    cJSON_AddNumberToObject(o, "heads", info->heads);
    cJSON_AddNumberToObject(o, "num_labels", info->num_labels);
    cJSON_AddStringToObject(o, "tokenizer_fingerprint", info->tokenizer_fingerprint);
    files = cJSON_AddArrayToObject(o, "files");
    file = cJSON_CreateObject();
    cJSON_AddStringToObject(file, "name", CKPT_FILE);
    cJSON_AddNumberToObject(file, "bytes", (double)file_bytes);
    cJSON_AddItemToArray(files, file);
    cJSON_AddItemToObject(o, "tensors", tensors);
    if (info->state)
        cJSON_AddItemReferenceToObject(o, "state", info->state);
    bool whole = cJSON_AddStringToObject(o, "self_crc32c", "00000000") != NULL;
    char *text = whole ? cJSON_Print(o) : NULL;
    cJSON_Delete(o);
    return text;
}

static int write_manifest(const char *dir, const struct sec_ckpt_info *info, int64_t file_bytes,
                          cJSON *tensors)
{
    struct sec_buf buf = {0};
    char *text = manifest_text(info, file_bytes, tensors), hex[16], *digits = NULL;
    char *path = sec_path_join(dir, CKPT_MANIFEST);
    int rc = text && path ? 0 : sec_fail(SEC_ENOMEM, "%s: out of memory for a manifest", dir);
    if (!rc)
        rc = sec_buf_adds(&buf, text);
    if (!rc)
        rc = sec_buf_addc(&buf, '\n');
    if (!rc && !(digits = sec_ckpt_self_digits(buf.data, buf.len)))
        rc = sec_fail(SEC_EFAIL, "%s: the manifest came out malformed", dir);
    if (!rc) {
        snprintf(hex, sizeof hex, "%08x", sec_crc32c(0, buf.data, buf.len));
        memcpy(digits, hex, 8);
        if (sec_fault("ckpt-manifest"))
            rc = sec_fail_errno(errno, "%s: cannot write", path);
    }
    if (!rc)
        rc = sec_write_file(path, buf.data, buf.len);
    sec_buf_free(&buf);
    cJSON_free(text);
    free(path);
    return rc;
}

/* tmp -> final. A directory of that name (a damaged checkpoint of the same step, passed over on
 * resume) is exchanged in one step and then removed, so that there is no moment without either. */
static int publish(const char *tmp, const char *final, const char *root)
{
    if (sec_fault("ckpt-rename"))
        return sec_fail_errno(errno, "%s: cannot rename to %s", tmp, final);
    int rc;
    SEC_TRY(sec_fsync_path(tmp));
    if (!sec_exists(final))
        return sec_rename_durable(tmp, final);
    if (renameat2(AT_FDCWD, tmp, AT_FDCWD, final, RENAME_EXCHANGE)) {
        SEC_TRY(sec_remove_tree(final)); /* no exchange on this file system */
        return sec_rename_durable(tmp, final);
    }
    SEC_TRY(sec_fsync_path(root));
    rc = sec_remove_tree(tmp);
fail:
    return rc;
}

static int write_latest(const char *root, int64_t step)
{
    char name[32];
    char *path = sec_path_join(root, "LATEST");
    int n = snprintf(name, sizeof name, "step-%lld\n", (long long)step);
    int rc = path ? 0 : SEC_ENOMEM;
    if (!rc && sec_fault("ckpt-latest"))
        rc = sec_fail_errno(errno, "%s: cannot write", path);
    if (!rc)
        rc = sec_write_file(path, name, (size_t)n);
    free(path);
    return rc;
}

int sec_ckpt_save(const char *ckpt_root, const struct sec_ckpt_info *info,
                  const struct sec_params *params, const struct sec_ckpt_arena *arenas,
                  int n_arenas)
{
    char name[64];
    cJSON *tensors = cJSON_CreateArray();
    int rc;
    snprintf(name, sizeof name, "step-%lld", (long long)info->step);
    char *final = sec_path_join(ckpt_root, name);
    snprintf(name, sizeof name, "step-%lld.tmp-%ld", (long long)info->step, (long)getpid());
    char *tmp = sec_path_join(ckpt_root, name), *file = tmp ? sec_path_join(tmp, CKPT_FILE) : NULL;
    if (!final || !tmp || !file || !tensors) {
        rc = sec_fail(SEC_ENOMEM, "%s: out of memory", ckpt_root);
        goto done;
    }
    SEC_TRY(sec_h5_init());
    SEC_TRY(sec_remove_tree(tmp)); /* of a dead process that had our id */
    SEC_TRY(sec_mkdir_p(tmp));
    SEC_TRY(write_tensors(file, params, arenas, n_arenas, tensors));
    cJSON *list = tensors;
    tensors = NULL; /* taken over by the manifest */
    SEC_TRY(write_manifest(tmp, info, sec_file_size(file), list));
    SEC_TRY(publish(tmp, final, ckpt_root));
    if (write_latest(ckpt_root, info->step)) /* a hint: the checkpoint stands without it */
        sec_warn("%s", sec_error());
    goto done;
fail:
    if (tmp) {
        char *message = sec_error_take();
        sec_remove_tree(tmp);
        sec_error_put(rc, message);
    }
done:
    cJSON_Delete(tensors);
    free(final);
    free(tmp);
    free(file);
    return rc;
}
