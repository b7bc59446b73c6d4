"""Operations over VMs from the command line: confirmed, sent once, followed, summed up."""
