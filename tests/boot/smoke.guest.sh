# SPDX-License-Identifier: GPL-2.0
#
# The kernel boots, has the device, and the harness works in both directions.
check "a driver is bound" test "$(cat $GPH/enabled)" = 1
check "the host answers" test "$(host hello)" = "good day"
check "an ageing pass ends" age
