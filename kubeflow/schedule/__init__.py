"""Recurring runs: what Kubeflow, Vertex AI, Kubernetes, cron and systemd take, made from one line.

| kind | what it starts | made by |
|---|---|---|
| ScheduledWorkflow of Kubeflow Pipelines | a compiled .yaml | ``kubeflow`` |
| call of Kubeflow's SDK | a compiled .yaml | ``kubeflow`` |
| schedule of Vertex AI Pipelines | a compiled .json | ``vertex`` |
| CronJob of Kubernetes | `hub-tfx run` in a container | ``cronjob`` |
| line of a crontab, timer of systemd | `hub-tfx run` on a machine | ``machine`` |

Unless they are told otherwise, all of them let one run go on at a time, and make up for none that
was missed. ``cron`` reads the times once, so that they mean the same to all of them.
"""
