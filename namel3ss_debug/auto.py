"""`import namel3ss_debug.auto` starts tracing where the configuration in force says `enabled`."""

from namel3ss_debug.capture.launch.start import start_if_enabled

start_if_enabled()
