# The image of the virtual machines, a stock Debian 12. Included by the Makefile.

VM_IMAGE := $(DROVER)/vm/image

.PHONY: vm-image
vm-image: $(STAMPS)/vm-image $(BIN)/drover-vm ## Make the image of the virtual machines, from Debian's packages

# It is made anew when what makes it changes, or when it is gone; `rm .drover/stamps/vm-image` asks for Debian's newest.
made_vm-image := $(addprefix $(VM_IMAGE)/,disk.img vmlinuz initrd id known_hosts)
$(if $(call missing,$(made_vm-image)),$(eval $(STAMPS)/vm-image: FORCE))
$(STAMPS)/vm-image: $(wildcard hack/vm/image/*.go) hack/vm.mk | $(STAMPS) $(BIN)/drover-vm
	@$(STEP) 'Make the image of a Debian' 'takes about two minutes the first time' $(BIN)/drover-vm build
	@touch $@
