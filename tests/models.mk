# SPDX-License-Identifier: GPL-2.0
#
# Unit tests, models and their mutants: check-unit, check-models, mutants-models.
#
# Included by the top Makefile; also works alone, from the top directory:
# make -f tests/models.mk check-models.  See tests/models.md.

BUILD ?= build
models_src := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
models_inc := $(models_src)/../include
models_out := $(BUILD)/tests/models
models_log := $(BUILD)/logs/models

MODELS_CFLAGS ?= -O2 -g
models_cc = $(CC) -std=gnu11 $(MODELS_CFLAGS) -Wall -Wextra -Werror \
	-I$(models_inc) -I$(models_inc)/uapi
models_headers := $(models_inc)/gph/state.h $(models_inc)/uapi/linux/virtio_gph.h
models_glib = $(shell pkg-config --cflags --libs glib-2.0 2>/dev/null)
# $(call models_run,NAME,COMMAND): TAP to a log, one line to the terminal
models_run = $(models_src)/models-run '$(models_log)/$(1).log' $(2)
# Where fetch-tools has put TOOL.
models_tool = "$$(sed -n 's/^$(1)=//p' $(models_out)/tools)"

.PHONY: check-unit check-models mutants-models mutants-unit mutants

check-unit: $(models_out)/test-word $(models_out)/test-abi
	@$(call models_run,unit-word,$(models_out)/test-word)
	@$(call models_run,unit-abi,$(models_out)/test-abi)

check-models: check-unit $(models_out)/explore $(models_out)/tools
	@$(call models_run,explore,$(models_out)/explore)
	@$(call models_run,litmus,$(models_src)/litmus/judge \
		$(call models_tool,herd7) $(call models_tool,memory-model) \
		$(models_src)/litmus/*.litmus)
	@$(call models_run,cbmc,$(models_src)/cbmc/prove \
		$(call models_tool,cbmc) $(models_inc))

# The weakened twins are part of the litmus tests, and are counted here again.
mutants-models: $(models_out)/test-word $(models_out)/explore $(models_out)/tools
	@rm -f $(models_log)/mutants-*.log
	@failed=0; \
	$(call models_run,mutants-unit,$(models_src)/unit/mutants \
		$(models_out)/test-word) || failed=1; \
	$(call models_run,mutants-cbmc,$(models_src)/cbmc/prove \
		$(call models_tool,cbmc) $(models_inc) --mutants) || failed=1; \
	$(call models_run,mutants-litmus,$(models_src)/litmus/judge \
		$(call models_tool,herd7) $(call models_tool,memory-model) \
		$(models_src)/litmus/*.*.litmus) || failed=1; \
	$(call models_run,mutants-explore,$(models_out)/explore --mutants) || failed=1; \
	$(models_src)/models-run --sum "mutants of the models" $(models_log)/mutants-*.log; \
	exit $$failed

mutants: mutants-models

$(models_out)/test-%: $(models_src)/unit/test-%.c $(models_src)/unit/word-mutants.h \
		$(models_headers)
	@mkdir -p $(@D)
	@pkg-config --exists glib-2.0 || { \
		echo "unit tests: glib-2.0 is missing; install libglib2.0-dev and pkg-config" >&2; exit 1; }
	$(models_cc) -o $@ $< $(models_glib)

$(models_out)/explore: $(wildcard $(models_src)/explore/*.[ch]) $(models_headers)
	@mkdir -p $(@D)
	$(models_cc) -o $@ $(filter %.c,$^)

# Asked every time, since the tools may have gone; needs the network only once.
.PHONY: models-tools
models-tools: ;
$(models_out)/tools: $(models_src)/fetch-tools models-tools
	@mkdir -p $(@D)
	@$(models_src)/fetch-tools >$@.new && mv $@.new $@
