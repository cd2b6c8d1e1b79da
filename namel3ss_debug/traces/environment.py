"""Decide which environment variables a re-run may take from a trace.

A trace is data. It never supplies a variable that decides which code a process loads, which program it starts, or whom
it trusts on the network: those keep the value of the user's own environment, no matter who recorded the trace.
"""

from __future__ import annotations

import re
from fnmatch import translate
from functools import cache
from typing import Final

from namel3ss_debug.late_patterns import compile_late

NEVER_SUPPLIED: Final = (
    # the dynamic linker and the C library
    "LD_*", "DYLD_*", "GCONV_PATH", "GETCONF_DIR", "GLIBC_TUNABLES", "HOSTALIASES", "LOCALDOMAIN", "LOCPATH",
    "MALLOC_*", "NIS_PATH", "NLSPATH", "RESOLV_HOST_CONF", "RES_OPTIONS", "TZDIR",
    # Python, except for the hash seed; the home, below which Python looks for the user's own packages
    "PYTHON*", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV", "CONDA_*", "HOME", "USERPROFILE", "XDG_*", "PIP_*", "UV_*",
    # shells, and the programs that others start
    "PATH", "PATHEXT", "CDPATH", "BASH_*", "BASHOPTS", "ENV", "IFS", "PS4", "PROMPT_COMMAND", "SHELL", "SHELLOPTS",
    "ZDOTDIR", "EDITOR", "VISUAL", "PAGER", "MANPAGER", "BROWSER", "LESSOPEN", "LESSCLOSE", "COMSPEC",
    "SSH_ASKPASS", "SSH_AUTH_SOCK", "SUDO_*", "DOCKER_HOST", "KUBECONFIG",
    # other languages
    "NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS", "NPM_*", "PERL*", "RUBY*", "GEM_*", "BUNDLE_*", "PHP*", "LUA_*", "CLASSPATH", "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "R_PROFILE*", "R_ENVIRON*", "JULIA_*", "TCLLIBPATH", "ERL_*", "GOFLAGS",
    # git
    "GIT_*_COMMAND", "GIT_SSH", "GIT_EXEC_PATH", "GIT_CONFIG*", "GIT_DIR", "GIT_WORK_TREE", "GIT_TEMPLATE_DIR",
    "GIT_ASKPASS", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_PAGER", "GIT_EXTERNAL_DIFF", "GIT_SSL_*",
    # the network, and whom to trust there
    "*_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CURL_HOME",
    "AWS_CA_BUNDLE", "OPENSSL_*", "KRB5*",
    # this debugger
    "NAMEL3SS_DEBUG_*",
)  # fmt: skip
"""Patterns of names, in capitals; a name matches in any case."""

LOCALE: Final = ("LANG", "LANGUAGE", "LC_*", "TZ")
"""Patterns of the names that a trace supplies even if it is not trusted."""

HASH_SEED: Final = "PYTHONHASHSEED"

HOST: Final = compile_late(
    r"(?i)(?<![\w.-])(?:localhost|[\w-]+(?:\.[\w-]+)+)(?![\w-])|[0-9a-f]*:[0-9a-f:]*:[0-9a-f:]+"
)
"""A name with a dot, an address of IP, or `localhost`: what may be a host in a text."""

_PLAIN_LOCALE = compile_late(r"(?!.*\.\.)[A-Za-z<][\w.,@:+/<>-]*\Z|\Z", re.ASCII)
_PLAIN_HASH_SEED = compile_late(r"\d{1,10}\Z|random\Z", re.ASCII)


@cache  # compiled only by a re-run: a program that is traced loads this module too
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, patterns)))


def changes_loading(name: str) -> bool:
    """Return whether a variable decides which code is loaded, or whom a process trusts."""
    return name != HASH_SEED and _any_of(NEVER_SUPPLIED).match(name.upper()) is not None


def holds_address(value: object) -> bool:
    """Return whether the value of a variable may be the address of a server."""
    return isinstance(value, str) and ("://" in value or HOST.search(value) is not None)


def may_supply(name: str, value: object, *, trusted: bool) -> bool:
    """Return whether a re-run may set a variable to a recorded value.

    Args:
        name: the name of the variable.
        value: the recorded value; `None` where the variable was not set.
        trusted: whether this user recorded the trace, or allowed it.
    """
    if not name or "=" in name or "\0" in name or changes_loading(name):
        return False
    if value is None:
        return trusted or _any_of(LOCALE).match(name) is not None
    if not isinstance(value, str) or "\0" in value:
        return False
    if name == HASH_SEED:
        return trusted and _PLAIN_HASH_SEED.match(value) is not None
    # A path in place of a locale or a time zone would have a file of the trace's choice read.
    return trusted or (_any_of(LOCALE).match(name) is not None and _PLAIN_LOCALE.match(value) is not None)
