# SPDX-License-Identifier: GPL-2.0
#
# Guest page hinting.  "make help" says what there is.

BUILD ?= build
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gph
KERNEL := $(CACHE)/kernel-6.12
QEMU := $(CACHE)/qemu-10.0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help:
	@echo 'make demo          the main job: a guest works, the host takes its cache, nothing is lost'
	@echo 'make test          every test (CI runs this); the last line counts them'
	@echo
	@echo 'make prepare       get, patch and build the guest kernels and QEMU'
	@echo 'make check-models  unit tests, proofs, litmus tests, exhaustive interleavings'
	@echo 'make mutants       planted faults in models, engine, device and guest kernel: all must be caught'
	@echo 'make check-engine  the reclaim engine against a simulated guest'
	@echo 'make check-qtest   the device, without a guest kernel'
	@echo 'make check-mmu     the list of secondary MMUs, exporters'
	@echo 'make check-boot    real guests; one of them: tests/boot/run NAME'
	@echo 'make check-migration  guests move: live, to a file, cancelled; what is refused'
	@echo 'make check-kvm     guests under real KVM, of Linux 6.12 and 7.2'
	@echo 'make check-off     CONFIG_GPH=n compiles to the same code as the untouched kernel'
	@echo 'make hook-budget   lines inserted in existing kernel files'
	@echo 'make print-paths   where the built things are, for guests of your own'
	@echo 'make clean         remove build/; downloads and builds stay in $(CACHE)'
	@echo
	@echo 'KERNEL_TREE= and QEMU_TREE= name source trees of your own instead of the packages'
	@echo 'in VERSIONS; JOBS= limits parallel compilers; GPH_TORTURE_SECONDS= is the length'
	@echo 'of the torture (120).'

include tests/models.mk
include tests/engine/engine.mk

# --- preparation ---

.PHONY: packages prepare prepare-qemu prepare-kernel prepare-debug
packages:
	@tests/packages

prepare-qemu: packages
	@host/prepare 10.0 build

prepare-kernel: packages
	@guest/prepare 6.12 test

prepare-debug: packages
	@guest/prepare 6.12 debug

prepare: prepare-qemu prepare-kernel prepare-debug

.PHONY: print-paths
print-paths:
	@echo 'qemu=$(QEMU)/build/qemu-system-x86_64'
	@echo 'qemu-source=$(QEMU)/src'
	@echo 'kernel-6.12=$(KERNEL)/build-test/arch/x86/boot/bzImage'
	@echo 'kernel-6.12-debug=$(KERNEL)/build-debug/arch/x86/boot/bzImage'
	@echo 'kernel-6.12-source=$(KERNEL)/src'
	@echo 'initrd=$(CURDIR)/$(BUILD)/boot/initrd'
	@echo 'initrd-tools=$(CURDIR)/tests/lib/mkinitrd'
	@echo 'logs=$(CURDIR)/$(BUILD)/logs'

# --- the main job ---

.PHONY: demo check-demo
demo: prepare-qemu prepare-kernel
	@bench/demo/run

.PHONY: check-docs
check-docs:
	@tests/check-docs

check-demo:
	@bench/demo/test-judge

# --- tests ---

.PHONY: test check-qtest check-mmu mutants-mmu check-boot check-migration check-kvm check-off hook-budget mutants-guest
check-qtest: prepare-qemu
	@cd $(QEMU)/build && QTEST_QEMU_BINARY=./qemu-system-x86_64 \
		tests/qtest/virtio-gph-test --tap

check-mmu: prepare-qemu
	@$(QEMU)/build/tests/unit/test-gph-secondary-mmu --tap

check-boot: prepare
	@tests/boot/run

check-migration: prepare-qemu prepare-kernel
	@tests/migration/run

check-off: packages
	@tests/check-off

hook-budget:
	@tests/hook-budget

mutants-guest: prepare-qemu prepare-kernel
	@tests/boot/run --mutants

# Plants faults in the prepared QEMU tree, and puts it back: about six minutes.
.PHONY: mutants-qtest
mutants-qtest: prepare-qemu
	@PYTHONPATH=$(CACHE)/tools/qemu-build/usr/lib/python3/dist-packages \
		tests/qtest/run-mutants.sh $(QEMU)/src $(QEMU)/build \
		$(CURDIR)/$(BUILD)/logs/mutants-qtest.log

# The same for migration: about five minutes; or the two that matter most.
.PHONY: mutants-migration mutants-migration-two
mutants-migration mutants-migration-two: prepare-qemu
	@PYTHONPATH=$(CACHE)/tools/qemu-build/usr/lib/python3/dist-packages \
		WHAT=migration LIST=tests/migration/mutants.list \
		TEST=tests/qtest/virtio-gph-migration-test \
		tests/qtest/run-mutants.sh $(QEMU)/src $(QEMU)/build \
		$(CURDIR)/$(BUILD)/logs/$@.log \
		$(if $(filter %-two,$@),no-look-at-last-sync destination-does-not-trap)

# The same for the unit test alone: about three minutes.
mutants-mmu: prepare-qemu
	@PYTHONPATH=$(CACHE)/tools/qemu-build/usr/lib/python3/dist-packages \
		WHAT='secondary MMU' LIST=tests/mmu/mutants.list \
		TEST=tests/unit/test-gph-secondary-mmu \
		tests/qtest/run-mutants.sh $(QEMU)/src $(QEMU)/build \
		$(CURDIR)/$(BUILD)/logs/mutants-mmu.log

# Real KVM: this machine's if it runs guests, and in guests of TCG that emulates
# AMD SVM, on stock kernels of two versions.
check-kvm: prepare-qemu prepare-kernel
	@tests/kvm/run

# Of that what takes a few minutes.
.PHONY: check-kvm-short
check-kvm-short: prepare-qemu prepare-kernel
	@tests/kvm/run faults stopped

# In a guest of TCG: about fifteen minutes.
.PHONY: mutants-kvm
mutants-kvm: prepare-qemu prepare-kernel
	@PYTHONPATH=$(CACHE)/tools/qemu-build/usr/lib/python3/dist-packages \
		WHAT=KVM LIST=tests/kvm/mutants.list \
		RUN='tests/kvm/run --no-direct --kernel 7.2 faults' \
		tests/qtest/run-mutants.sh $(QEMU)/src $(QEMU)/build \
		$(CURDIR)/$(BUILD)/logs/mutants-kvm.log

mutants: mutants-engine mutants-mmu mutants-kvm mutants-qtest mutants-migration mutants-guest

test: packages
	@tests/run-all hook-budget check-docs check-demo check-models mutants-models check-engine mutants-engine \
		check-mmu mutants-mmu check-qtest check-off check-boot check-migration mutants-migration-two \
		mutants-guest check-kvm-short

.PHONY: clean
clean:
	rm -rf $(BUILD)
