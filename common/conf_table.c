/*
 * conf_table: every key of the config: type, default, range.
 * letterplate.conf(5) says the same in words, and a test compares them.
 */
#include <stddef.h>
#include <string.h>

#include "common/conf_priv.h"
#include "common/log.h"

_Static_assert(LOG_L_ERROR == 0 && LOG_L_WARN == 1 && LOG_L_INFO == 2 && LOG_L_DEBUG == 3, "order of log.level");
_Static_assert(CONF_SMTP == 0 && CONF_LMTP == 1, "order of protocol");
_Static_assert(
    CONF_TLS_NONE == 0 && CONF_TLS_STARTTLS == 1 && CONF_TLS_REQUIRED == 2 && CONF_TLS_IMPLICIT == 3, "order of tls");
_Static_assert(CONF_AUTH_OFF == 0 && CONF_AUTH_OPTIONAL == 1 && CONF_AUTH_REQUIRED == 2, "order of auth");
_Static_assert(CONF_F_ACCEPT == 0 && CONF_F_TEMPFAIL == 1 && CONF_F_REJECT == 2, "order of on_failure");
_Static_assert(CONF_S_CONNECT == 0 && CONF_S_HELO == 1 && CONF_S_MAIL == 2 && CONF_S_RCPT == 3 && CONF_S_DATA == 4 &&
	CONF_S_END == 5,
    "order of stage");
_Static_assert(CONF_ANY == 0 && CONF_YES == 1 && CONF_NO == 2, "order of authenticated and tls");
_Static_assert(CONF_FULL_DEFER == 0 && CONF_FULL_REJECT == 1, "order of when_full");
_Static_assert(CONF_LOG_LOGFMT == 0 && CONF_LOG_JSON == 1, "order of log.format");

#define ROOT(field)     offsetof(struct conf, field)
#define LISTENER(field) offsetof(struct conf_listener, field)
#define TLS(field)      offsetof(struct conf_tls_section, field)
#define HANDLER(field)  offsetof(struct conf_handler, field)
#define GIB             ((uint64_t)1 << 30)
#define MINUTE          ((uint64_t)60 * 1000)
#define DAY             (24 * 60 * MINUTE)

/* When it is asked, and what holds when it fails: of all that have a title. */
#define ASKED(section, timeout) \
	{ section, "timeout", conf_set_duration, HANDLER(timeout_ms), timeout, 100, 10 * MINUTE, "100ms to 10m", \
		false }, \
	    { section, "on_failure", conf_set_enum, HANDLER(on_failure), "tempfail", 0, 0, "accept tempfail reject", \
		    false }, \
	    { section, "listeners", conf_set_listener_name, HANDLER(when), NULL, 0, CONF_WHEN_MAX, "", true }, \
	    { section, "networks", conf_set_nets, HANDLER(when), NULL, 0, CONF_NETS_MAX, "", true }, \
	    { section, "authenticated", conf_set_enum, HANDLER(when.authenticated), "any", 0, 0, "any yes no", \
		    false }, \
	{ \
		section, "tls", conf_set_enum, HANDLER(when.tls), "any", 0, 0, "any yes no", false \
	}

/* A check of what strangers say of themselves. */
#define CHECK(name, field) \
	{ \
		"checks", name, conf_set_bool, ROOT(field), "no", 0, 1, "", false \
	}

/* section, name, setter, field, default, smallest, largest, words, list */
const struct conf_key conf_key[] = {
	{ "", "hostname", conf_set_hostname, ROOT(hostname), NULL, 1, 255, "", false },
	{ "", "user", conf_set_user, ROOT(user), "letterplate", 1, 32, "", false },
	{ "", "workers", conf_set_u32, ROOT(workers), "0", 0, CONF_WORKERS_MAX, "", false },
	{ "", "state_dir", conf_set_path, ROOT(state_dir), "/run/letterplate", 1, CONF_PATH_MAX, "", false },
	{ "", "directory", conf_set_path, ROOT(directory), "/var/lib/letterplate", 1, CONF_PATH_MAX, "", false },
	{ "", "message_size_limit", conf_set_message_size, ROOT(message_size_limit), "25MiB", 1, 64 * GIB,
	    "1B to 64GiB", false },
	{ "", "recipient_limit", conf_set_u32, ROOT(recipient_limit), "1000", 1, 10000, "", false },
	{ "", "recipient_delimiters", conf_set_delimiters, ROOT(recipient_delimiters), "+", 0, 8, "", false },
	{ "", "postmaster", conf_set_postmaster, ROOT(postmaster), "", 0, ADDR_MAX, "", false },
	{ "", "dsn", conf_set_bool, ROOT(dsn), "no", 0, 1, "", false },
	{ "", "dsn_relay", conf_set_hostport, ROOT(dsn_relay), "", 0, 255, "", false },
	{ "", "credentials", conf_set_path, ROOT(credentials), NULL, 1, CONF_PATH_MAX, "", false },
	{ "", "greeting_delay", conf_set_duration, ROOT(greeting_delay_ms), "0s", 0, MINUTE, "0s to 1m", false },

	{ "listener", "address", conf_set_address, LISTENER(address), NULL, 1, CONF_ADDRESSES_MAX, "", true },
	{ "listener", "protocol", conf_set_enum, LISTENER(protocol), "smtp", 0, 0, "smtp lmtp", false },
	{ "listener", "tls", conf_set_enum, LISTENER(tls), "none", 0, 0, "none starttls required implicit", false },
	{ "listener", "auth", conf_set_enum, LISTENER(auth), "off", 0, 0, "off optional required", false },
	{ "listener", "proxy_from", conf_set_nets, LISTENER(proxy_from), NULL, 0, CONF_NETS_MAX, "", true },
	{ "listener", "xclient_from", conf_set_nets, LISTENER(xclient_from), NULL, 0, CONF_NETS_MAX, "", true },
	{ "listener", "bare_newline_from", conf_set_nets, LISTENER(bare_newline_from), NULL, 0, CONF_NETS_MAX, "",
	    true },

	{ "tls", "certificate", conf_set_path, TLS(certificate), NULL, 1, CONF_PATH_MAX, "", false },
	{ "tls", "key", conf_set_path, TLS(key), NULL, 1, CONF_PATH_MAX, "", false },
	{ "tls", "ocsp", conf_set_path, TLS(ocsp), NULL, 1, CONF_PATH_MAX, "", false },

	{ "handler", "module", conf_set_path, HANDLER(module), NULL, 1, CONF_PATH_MAX, "", false },
	{ "handler", "argument", conf_set_text, HANDLER(argument), "", 0, CONF_PATH_MAX, "", false },
	{ "handler", "allow", conf_set_allow, HANDLER(allow), NULL, 0, CONF_ALLOW_MAX, "", true },
	ASKED("handler", "30s"),

	{ "milter", "socket", conf_set_socket, HANDLER(socket), NULL, 1, 255, "", false },
	ASKED("milter", "30s"),

	{ "policy", "socket", conf_set_socket, HANDLER(socket), NULL, 1, 255, "", false },
	{ "policy", "stage", conf_set_enum, HANDLER(stage), "rcpt", 0, 0, "connect helo mail rcpt data end", false },
	ASKED("policy", "10s"),

	{ "networks", "accept", conf_set_nets, ROOT(networks), NULL, 0, CONF_NETS_MAX, "", true },
	{ "networks", "reject", conf_set_nets, ROOT(networks), NULL, 0, CONF_NETS_MAX, "", true },
	{ "networks", "defer", conf_set_nets, ROOT(networks), NULL, 0, CONF_NETS_MAX, "", true },
	{ "networks", "skip_checks", conf_set_nets, ROOT(networks), NULL, 0, CONF_NETS_MAX, "", true },

	{ "dns", "servers", conf_set_server, ROOT(dns), NULL, 0, CONF_SERVERS_MAX, "", true },
	{ "dns", "timeout", conf_set_duration, ROOT(dns.timeout_ms), "5s", 100, MINUTE, "100ms to 1m", false },
	{ "dns", "blocklists", conf_set_dnslist, ROOT(dns.block), NULL, 0, CONF_DNSLISTS_MAX, "", true },
	{ "dns", "allowlists", conf_set_dnslist, ROOT(dns.allow), NULL, 0, CONF_DNSLISTS_MAX, "", true },
	{ "dns", "threshold", conf_set_u32, ROOT(dns.threshold), "10", 1, 1000000, "", false },
	{ "dns", "client_names", conf_set_bool, ROOT(dns.client_names), "no", 0, 1, "", false },

	{ "quota", "enforce", conf_set_bool, ROOT(quota.enforce), "yes", 0, 1, "", false },
	{ "quota", "when_full", conf_set_enum, ROOT(quota.when_full), "defer", 0, 0, "defer reject", false },

	{ "tokens", "socket", conf_set_socket, ROOT(tokens.socket), NULL, 1, 255, "", false },
	{ "tokens", "timeout", conf_set_duration, ROOT(tokens.timeout_ms), "10s", 100, MINUTE, "100ms to 1m", false },

	CHECK("helo_full", checks.helo_full),
	CHECK("helo_literal", checks.helo_literal),
	CHECK("helo_own", checks.helo_own),
	CHECK("sender_full", checks.sender_full),
	CHECK("sender_own", checks.sender_own),
	CHECK("sender_domain", checks.sender_domain),

	{ "timeouts", "command", conf_set_duration, ROOT(timeouts.command_ms), "5m", 10, DAY, "10ms to 24h", false },
	{ "timeouts", "data", conf_set_duration, ROOT(timeouts.data_ms), "10m", 10, DAY, "10ms to 24h", false },
	{ "timeouts", "handshake", conf_set_duration, ROOT(timeouts.handshake_ms), "30s", 10, DAY, "10ms to 24h",
	    false },
	{ "timeouts", "drain", conf_set_duration, ROOT(timeouts.drain_ms), "30s", 0, DAY, "0s to 24h", false },

	{ "limits", "connections", conf_set_u32, ROOT(limits.connections), "0", 0, 1000000, "", false },
	{ "limits", "connections_per_ip", conf_set_u32, ROOT(limits.connections_per_ip), "50", 0, 1000000, "", false },
	{ "limits", "errors", conf_set_u32, ROOT(limits.errors), "20", 0, 1000000, "", false },
	{ "limits", "error_pause", conf_set_duration, ROOT(limits.error_pause_ms), "1s", 0, MINUTE, "0s to 1m", false },
	{ "limits", "rate_per_ip", conf_set_u32, ROOT(limits.rate_per_ip), "0", 0, 4000, "", false },
	{ "limits", "handshakes_per_ip", conf_set_u32, ROOT(limits.handshakes_per_ip), "0", 0, 4000, "", false },
	{ "limits", "auth_failures_per_ip", conf_set_u32, ROOT(limits.auth_failures_per_ip), "20", 0, 1000000, "",
	    false },
	{ "limits", "auth_failures_per_user", conf_set_u32, ROOT(limits.auth_failures_per_user), "100", 0, 1000000, "",
	    false },
	{ "limits", "session", conf_set_duration, ROOT(limits.session_ms), "1h", 0, DAY, "0s to 24h", false },
	{ "limits", "data_rate", conf_set_size, ROOT(limits.data_rate), "100B", 0, GIB, "0B to 1GiB", false },

	{ "store", "path", conf_set_path, ROOT(store.path), "/var/mail/letterplate", 1, CONF_PATH_MAX, "", false },
	{ "store", "delivered_to", conf_set_bool, ROOT(store.delivered_to), "yes", 0, 1, "", false },
	{ "store", "journal", conf_set_journal, ROOT(store.journal), "64MiB", 8 << 20, 4 * GIB, "0, or 8MiB to 4GiB",
	    false },

	{ "log", "format", conf_set_enum, ROOT(log.format), "logfmt", 0, 0, "logfmt json", false },
	{ "log", "level", conf_set_enum, ROOT(log.level), "info", 0, 0, "error warn info debug", false },
	{ "log", "to", conf_set_log_to, ROOT(log.to), "stderr", 1, CONF_PATH_MAX, "", false },
	{ "log", "rate", conf_set_u32, ROOT(log.rate), "0", 0, 1000000, "", false },
};
const size_t conf_nkey = sizeof conf_key / sizeof *conf_key;

_Static_assert(sizeof conf_key / sizeof *conf_key <= CONF_KEYS_MAX, "room for the lines of all keys");

const struct conf_section conf_section[] = {
	{ "listener", true, true },
	{ "tls", true, true },
	{ "store", false, true },
	{ "handler", true, true },
	{ "milter", true, true },
	{ "policy", true, true },
	{ "networks", false, false },
	{ "dns", false, false },
	{ "quota", false, false },
	{ "checks", false, false },
	{ "tokens", false, false },
	{ "timeouts", false, false },
	{ "limits", false, false },
	{ "log", false, false },
};
const size_t conf_nsection = sizeof conf_section / sizeof *conf_section;

_Static_assert(sizeof conf_section / sizeof *conf_section <= CONF_SECTIONS_MAX, "room for all sections");

const struct conf_key *
conf_key_find(const char *section, const char *name)
{
	for (size_t i = 0; i < conf_nkey; i++)
		if (strcmp(conf_key[i].section, section) == 0 && strcmp(conf_key[i].name, name) == 0)
			return &conf_key[i];
	return NULL;
}

unsigned
conf_line(const struct conf *cf, const char *section, const char *name)
{
	const struct conf_key *k = conf_key_find(section, name);

	return k != NULL ? ((const struct conf_own *)cf)->line[k - conf_key] : 0;
}
