// Package ec2 is a double of the Amazon EC2 API, as far as building an AMI
// from a Windows instance needs it: an [http.Handler] that real clients (the
// AWS SDKs, the AWS CLI, Packer) talk to through a custom endpoint.
//
// # What it models
//
//   - The EC2 Query protocol of version 2016-11-15: form parameters in, XML
//     out, EC2's error codes, messages and HTTP statuses. A parameter that an
//     operation does not have is an UnknownParameter error, so that misspelt
//     client code is found.
//   - States that last, on the lab's clock: instances are pending, stopping
//     and shutting down for a while, images are pending, snapshots progress
//     from 0% to 100%, status checks initialize. See [Timing].
//   - Who stopped an instance: the API (Client.UserInitiatedShutdown) or its
//     guest (Client.InstanceInitiatedShutdown, see [Server.GuestShutdown]),
//     and instanceInitiatedShutdownBehavior, which turns the latter into a
//     termination.
//   - Machines: an instance can carry one ([Machine]), which is switched on
//     and off with it and whose console GetConsoleOutput shows.
//   - The life of an image: unique and well-formed names, snapshots that are
//     in use, tags at creation, launch permissions, copies to other regions
//     with encryption, deprecation, protection from deregistration.
//   - Regions: every resource lives in the region that the request was signed
//     for. All resources belong to one account.
//   - Bad days, said in a line by a test: throttling, lost answers, delays,
//     server errors, resources that cannot be seen yet, images that fail.
//     See inject.go.
//   - STS GetCallerIdentity and AssumeRole on the same endpoint, so that one
//     custom endpoint serves both services.
//
// # What it does not model
//
// Signatures are read for access key and region, never verified. Policies are
// one function, [Options.Deny]. A dry run answers after the permissions and the
// presence of required parameters were checked, and before any resource is
// looked at (which of the two comes first in EC2 is not documented). There are no networks, security groups, key pairs, launch
// templates, quotas, prices or other accounts, and key management is a name:
// a key's ARN is derived from what the client called it. A public address
// comes back unchanged when an instance starts again, as an Elastic IP address
// does. Where the wording of an EC2 message is not known it is this package's
// own; codes are EC2's, from the EC2 API Reference, "Error codes for the
// Amazon EC2 API".
//
// # How it is kept honest
//
// Three independent witnesses check it in the tests: the API model that AWS
// publishes (testdata/model.json.gz, see testdata/README.md), to which every
// answer is compared element by element; the AWS CLI with its own waiters; and
// moto, another double, which gets the same scenario.
package ec2
