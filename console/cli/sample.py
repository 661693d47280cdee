# SPDX-License-Identifier: Apache-2.0
"""A config file of the console with every key, as `remora config sample` prints it."""

SAMPLE = """\
# remora: the console's config, $XDG_CONFIG_HOME/remora/config.toml (`remora config path`).
# `remora config check` says what is wrong, `remora config` what is in force and where it is from.
# Keys that are commented out show their default.

agents = ["ipc:///run/remora/lb1"]  # one address each: ipc:///run/remora/NODE, tcp://HOST:PORT
# context = ""                      # which of those below; --context and REMORA_CONTEXT go before

# cluster = "remora"                # name in the header; of a context: its own name
# view_only = false                 # true: nothing is ever changed from here (exit 8)
# require_reason = false            # true: every change wants a --reason
# relay = ""                        # tcp://HOST:PORT: telemetry from there, commands to the agents

# key = ""                          # secret key (`remora keys`); paths are relative to this file
# known_agents = ""                 # lines HOST:PORT PUBLIC-KEY; "": known_agents beside this file
# insecure = false                  # true: speak to agents on the network whose key is not known

# theme = "dark"                    # dark, light, safe (colour-blind), ansi, ansi-light
# colour = ""                       # of the header: red orange yellow green blue purple grey
# mouse = "auto"                    # auto: not over ssh; on, off
# ascii = "auto"                    # auto: where the terminal has no other signs; on, off

[keys]                              # by id: what is moved; plans stay upper case
# freeze = "x"                      # the ids are in console/tui/keys.py

# [contexts.prod]                   # a cluster by name: the keys above, but for `context`
# agents = ["tcp://10.10.1.11:7400", "tcp://10.10.1.12:7400"]
# cluster = "fra1 (prod)"
# colour = "red"
# require_reason = true
# key = "ann.key"
"""
