# Sourced by bash before each procedure: the operator at the prompt, who sees how a command
# ended, and at the end whether the node is running.
unset BASH_ENV
trap 'echo "<exit code $?>"' ERR
trap 'systemctl is-active ailee-node' EXIT

# failed is true if the command before it failed; the guide leaves this check to the operator.
failed() { (($? > 0)); }
