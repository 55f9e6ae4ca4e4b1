# SPDX-License-Identifier: GPL-2.0-or-later
#
# check-engine:   unit tests and seeded schedules of the reclaim engine, and
#                 scenarios of the pressure policy, under AddressSanitizer and
#                 UndefinedBehaviorSanitizer; real threads under ThreadSanitizer
# mutants-engine: the same with planted faults, each of which must be caught
# fuzz-engine:    coverage-guided search for a bad schedule, with clang;
#                 FUZZ_SECONDS=n (default 60)
#
# Needs a C compiler, pkg-config and glib; includes alone or from the top.

ENGINE_DIR := $(dir $(lastword $(MAKEFILE_LIST)))
ENGINE_ROOT := $(abspath $(ENGINE_DIR)/../..)
ENGINE_OUT ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gph/engine
ENGINE_SRC := $(wildcard $(ENGINE_ROOT)/host/reclaim/*.c)
ENGINE_DEP := $(ENGINE_SRC) $(wildcard $(ENGINE_ROOT)/host/reclaim/*.h \
	$(ENGINE_ROOT)/include/gph/*.h $(ENGINE_ROOT)/include/uapi/linux/*.h \
	$(ENGINE_DIR)*.[ch])
ENGINE_INC := -I$(ENGINE_ROOT)/host/reclaim -I$(ENGINE_ROOT)/include \
	-I$(ENGINE_ROOT)/include/uapi -I$(ENGINE_DIR)
ENGINE_CFLAGS = -g -O1 -Wall -Wextra -Werror -fno-strict-aliasing \
	-fsanitize=address,undefined -fno-sanitize-recover=all
# ThreadSanitizer does not know fences; the one there is orders nothing for it.
ENGINE_TSAN = -g -O2 -Wall -Wextra -Werror -Wno-unused-parameter -Wno-unknown-warning-option -Wno-tsan \
	-fno-strict-aliasing -fsanitize=thread
ENGINE_GLIB = $(shell pkg-config --cflags glib-2.0)
ENGINE_LIBS = $(shell pkg-config --libs glib-2.0)
FUZZ_SECONDS ?= 60

.PHONY: check-engine mutants-engine fuzz-engine

check-engine: $(ENGINE_OUT)/test-engine $(ENGINE_OUT)/test-policy \
		$(ENGINE_OUT)/test-threads
	$(ENGINE_OUT)/test-engine
	$(ENGINE_OUT)/test-policy
	$(ENGINE_OUT)/test-threads

mutants-engine:
	CFLAGS='$(ENGINE_CFLAGS) $(ENGINE_GLIB)' LDLIBS='$(ENGINE_LIBS)' \
		TSAN_CFLAGS='$(ENGINE_TSAN)' \
		$(ENGINE_DIR)run-mutants.sh $(ENGINE_OUT)/mutants

fuzz-engine: $(ENGINE_OUT)/fuzz-engine
	mkdir -p $(ENGINE_OUT)/corpus
	$< -max_total_time=$(FUZZ_SECONDS) -max_len=4096 \
		-artifact_prefix=$(ENGINE_OUT)/ $(ENGINE_OUT)/corpus

$(ENGINE_OUT)/test-engine: $(ENGINE_DEP)
	@mkdir -p $(@D)
	$(CC) $(ENGINE_CFLAGS) $(ENGINE_INC) $(ENGINE_GLIB) -o $@ \
		$(ENGINE_DIR)test-engine.c $(ENGINE_DIR)sim.c $(ENGINE_SRC) \
		$(ENGINE_LIBS)

$(ENGINE_OUT)/test-policy: $(ENGINE_DEP)
	@mkdir -p $(@D)
	$(CC) $(ENGINE_CFLAGS) $(ENGINE_INC) $(ENGINE_GLIB) -o $@ \
		$(ENGINE_DIR)test-policy.c $(ENGINE_SRC) $(ENGINE_LIBS)

$(ENGINE_OUT)/test-threads: $(ENGINE_DEP)
	@mkdir -p $(@D)
	$(CC) $(ENGINE_TSAN) $(ENGINE_INC) -o $@ $(ENGINE_DIR)test-threads.c \
		$(ENGINE_SRC) -pthread

$(ENGINE_OUT)/fuzz-engine: $(ENGINE_DEP)
	@mkdir -p $(@D)
	clang $(ENGINE_CFLAGS) -fsanitize=fuzzer $(ENGINE_INC) -o $@ \
		$(ENGINE_DIR)fuzz-engine.c $(ENGINE_DIR)sim.c $(ENGINE_SRC)
