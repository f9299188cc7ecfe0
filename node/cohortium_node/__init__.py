"""The custodian's daemon: data, linkage, the ledger, and the one door through which anything leaves."""
