"""The maker of the demo dataset, in the order in which the data flows.

fixed      clock, identifiers and file writing that come out the same on every run
fakeaws    a local fake AWS in a process of its own, and clients for its accounts
estate     the infrastructure as its owners declared it
inventory  what the fake AWS says is there now, spelt as AWS Config spells it
spellings  the envelopes and spellings in which such items travel
terraform  the same objects as a Terraform state
story      what happens to the estate, file by file
compare    which resources differ between two readings, and where
"""
