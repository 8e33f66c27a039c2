# shellcheck shell=dash disable=SC2154
# What pinhole.init finds on a router, for the tests: UCI, procd, users and the log. What procd is told goes to
# $work/procd, and what is logged to $work/log.

# Writes a file of UCI as calls of `config`, `option` and `list`, as `uci export` does.
uci_export() {
	awk -v quote="'" '
		function emit(word) { gsub(quote, quote "\\" quote quote, word); words = words " " quote word quote }
		function flush() { if (words != "") print substr(words, 2); words = "" }
		{ text = text $0 "\n" }
		END {
			for (at = 1; at <= length(text); at++) {
				c = substr(text, at, 1)
				if (mode == "" && c == "#") { while (substr(text, at, 1) != "\n") at++; c = "\n" }
				if (mode == "\"" && c == "\\") word = word substr(text, ++at, 1)
				else if (c == mode) mode = ""
				else if (mode != "") word = word c
				else if (c == quote || c == "\"") { mode = c; given = 1 }
				else if (c ~ /[ \t\n]/) {
					if (word != "" || given) emit(word)
					word = ""; given = 0
					if (c == "\n") flush()
				} else word = word c
			}
		}
	' "$1"
}

config() {
	sections=$((sections + 1))
	CONFIG_SECTION=${2:-cfg0$sections}
	CONFIG_SECTIONS="$CONFIG_SECTIONS $CONFIG_SECTION"
	eval "CONFIG_${CONFIG_SECTION}_TYPE=\$1"
}

option() {
	eval "CONFIG_${CONFIG_SECTION}_$1=\$2"
	option_cb "$1" "$2"
}

list() {
	local count

	eval "count=\$((\${CONFIG_${CONFIG_SECTION}_$1_LENGTH:-0} + 1))"
	eval "CONFIG_${CONFIG_SECTION}_$1_LENGTH=\$count CONFIG_${CONFIG_SECTION}_$1_ITEM$count=\$2"
	list_cb "$1" "$2"
}

reset_cb() {
	option_cb() { :; }
	list_cb() { :; }
}

# Forgets what it loaded before: on a router each call of the script is a process.
config_load() {
	for name in $(set | sed -n 's/^\(CONFIG_[A-Za-z0-9_]*\)=.*/\1/p'); do
		unset "$name"
	done
	sections=0
	eval "$(uci_export "$work/$1.config")"
}

config_get() {
	eval "$1=\${CONFIG_$2_$3:-\$4}"
}

config_get_bool() {
	config_get "$@"
	eval "set -- $1 \"\$$1\" \"\$4\""
	case $2 in
		1 | on | true | yes | enabled) eval "$1=1" ;;
		0 | off | false | no | disabled) eval "$1=0" ;;
		*) eval "$1=\$3" ;;
	esac
}

config_foreach() {
	local function="$1" type="$2" each found

	shift 2
	for each in $CONFIG_SECTIONS; do
		eval "found=\$CONFIG_${each}_TYPE"
		case "$type" in
			'' | "$found") "$function" "$each" "$@" ;;
		esac
	done
}

config_list_foreach() {
	local section="$1" option="$2" function="$3" at=0 length item

	shift 3
	config_get length "$section" "${option}_LENGTH" 0
	while [ "$at" -lt "$length" ]; do
		at=$((at + 1))
		config_get item "$section" "${option}_ITEM$at"
		"$function" "$item" "$@"
	done
}

procd_open_instance() {
	printf 'instance [%s]\n' "$1" >>"$work/procd"
}

# Each word in brackets, so that spaces can be seen.
procd_set_param() {
	printf '  %s' "$1" >>"$work/procd"
	shift
	printf ' [%s]' "$@" >>"$work/procd"
	echo >>"$work/procd"
}

procd_append_param() {
	procd_set_param "$@"
}

procd_close_instance() {
	:
}

procd_add_reload_trigger() {
	echo "reload on a change of $*" >>"$work/procd"
}

procd_add_interface_trigger() {
	echo "on $1 of $2: $3 $4" >>"$work/procd"
}

procd_running() {
	case " $running " in
		*" [$1 $2] "*) return 0 ;;
		*) return 1 ;;
	esac
}

logger() {
	while [ $# -gt 1 ]; do
		shift
	done
	printf '%s\n' "$1" >>"$work/log"
}

id() {
	[ "$2" = pinhole ] || [ "$2" = root ]
}

chown() {
	printf 'chown %s %s\n' "$2" "${3#"$work"}" >>"$work/owners"
}

reset_cb
