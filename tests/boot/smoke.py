# SPDX-License-Identifier: GPL-2.0
"""The smallest guest: boots, finds the device, and says so."""


def run(test):
    with test.boot() as guest:
        test.follow(guest, hello=lambda: "good day")
