"""The values that the chart is rendered with: its defaults, and each of its parts on its own and together."""

from typing import Any, Final

KUBERNETES: Final = ["1.27", "1.31", "1.37"]  # the oldest that the chart allows, one in between, the newest known

Json = dict[str, Any]

CONFIG: Final[Json] = {
    "destinations": {
        "acme": {"api_token_env": "ACME_TOKEN", "default_region": "GB", "limits": {"identity": 20}},
        "acme-us": {"api_token_file": "/run/secrets/attentive-gateway/ACME_US_TOKEN"},
    },
    "sources": {
        "web-shop": {
            "write_keys": [{"key": {"env": "WEB_KEY"}}, {"key": {"file": "/run/secrets/attentive-gateway/OLD_KEY"}}],
            "destination": "acme",
            "origins": ["https://shop.example"],
            "events_per_second": 1_000_000,
        },
        "warehouse": {
            "write_key_env": "WAREHOUSE_KEY",
            "destination": "acme-us",
            "signing": {"scheme": "segment", "secrets": [{"env": "SEGMENT_SECRET"}]},
        },
    },
}
CONFIG_TEXT: Final = """\
# one account
destinations:
  acme: {api_token_env: ACME_TOKEN}
sources:
  web-shop: {write_key_env: WEB_KEY, destination: acme}
"""
SECRET: Final = {
    name: f"secret-{name.lower()}"
    for name in ("ACME_TOKEN", "ACME_US_TOKEN", "WEB_KEY", "OLD_KEY", "WAREHOUSE_KEY", "SEGMENT_SECRET")
} | {"GATEWAY_REDIS_URL": "rediss://:pw@redis.example:6379/0"}
ONE_ACCOUNT: Final = {
    "GATEWAY_REDIS_URL": "redis://redis.example:6379/1",
    "GATEWAY_WRITE_KEY": "secret-key",
    "ATTENTIVE_API_TOKEN": "secret-token",
}
STORE: Final = {"name": "vault", "kind": "ClusterSecretStore"}
REMOTE: Final = [
    {"secretKey": "GATEWAY_REDIS_URL", "remoteRef": {"key": "gateway", "property": "redis-url"}},
    {"secretKey": "GATEWAY_WRITE_KEY", "remoteRef": {"key": "gateway", "property": "write-key"}},
]


def worker_scaling(**options: Any) -> Json:
    return {"worker": {"autoscaling": {"enabled": True, **options}}}


CASES: Final[dict[str, Json]] = {
    "default": {},
    "minimal": {
        "values": {
            "serviceAccount": {"create": False},
            "tests": {"enabled": False},
            **{
                part: {
                    "replicas": 1,
                    "podDisruptionBudget": {"enabled": False},
                    "topologySpread": [],
                    "resources": {},
                }
                for part in ("gateway", "worker")
            },
        }
    },
    "config": {"values": {"config": CONFIG}},
    "config as text": {"values": {"config": CONFIG_TEXT}},
    "existing config map": {"values": {"existingConfigMap": "our-config"}},
    "existing secret": {"values": {"secrets": {"name": "our-secret"}, "config": CONFIG}},
    "secret of the chart": {"values": {"secrets": {"values": ONE_ACCOUNT}}},
    "secret as files": {"values": {"secrets": {"values": ONE_ACCOUNT, "asEnvironment": False}}},
    "external secret": {
        "values": {"secrets": {"externalSecret": {"enabled": True, "storeRef": STORE, "data": REMOTE}}}
    },
    "external secret, whole": {
        "values": {
            "secrets": {
                "externalSecret": {"enabled": True, "storeRef": STORE, "dataFrom": [{"extract": {"key": "gateway"}}]}
            }
        }
    },
    "trial": {"values": {"redis": {"trial": {"enabled": True}}, "secrets": {"values": ONE_ACCOUNT}}},
    "trial with Valkey": {
        "values": {"redis": {"trial": {"enabled": True, "engine": "valkey"}}, "secrets": {"values": ONE_ACCOUNT}}
    },
    "trial without a volume": {"values": {"redis": {"trial": {"enabled": True, "persistence": {"enabled": False}}}}},
    "ingress": {
        "release": "shop",
        "values": {
            "ingress": {
                "enabled": True,
                "className": "nginx",
                "hosts": ["gateway.example.com", "events.example.com"],
                "tls": [{"secretName": "gateway-tls", "hosts": ["gateway.example.com"]}],
                "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "2m"},
            }
        },
    },
    "http route": {
        "values": {
            "httpRoute": {
                "enabled": True,
                "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https"}],
                "hostnames": ["gateway.example.com"],
            }
        }
    },
    "load balancer": {
        "values": {
            "service": {
                "type": "LoadBalancer",
                "port": 8443,
                "externalTrafficPolicy": "Local",
                "loadBalancerSourceRanges": ["203.0.113.0/24"],
            }
        }
    },
    "console": {"values": {"console": {"enabled": True}}},
    "syncs": {"values": {"config": CONFIG, "syncs": {"enabled": True}, "networkPolicy": {"enabled": True}}},
    "syncs with a claim of their own": {
        "values": {
            "existingConfigMap": "our-config",
            "syncs": {
                "enabled": True,
                "persistence": {"existingClaim": "rows"},
                "extraEnv": [{"name": "DB", "value": "x"}],
            },
        }
    },
    "syncs with their state in S3": {
        "values": {
            "config": CONFIG,
            "syncs": {"enabled": True, "stateUrl": "s3://northpeak/syncs"},
            "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/syncs"}},
        }
    },
    "console behind an ingress": {
        "values": {
            "console": {
                "enabled": True,
                "replicas": 2,
                "podDisruptionBudget": {"enabled": True},
                "ingress": {
                    "enabled": True,
                    "className": "nginx",
                    "hosts": ["console.example.com"],
                    "tls": [{"secretName": "console-tls", "hosts": ["console.example.com"]}],
                    "annotations": {"nginx.ingress.kubernetes.io/proxy-buffering": "off"},
                },
            },
            "networkPolicy": {"enabled": True},
        }
    },
    "keda": {"namespace": "marketing", "values": worker_scaling(kind="keda", maxReplicas=25)},
    "keda by prometheus": {
        "namespace": "marketing",
        "values": worker_scaling(
            keda={"trigger": "prometheus", "prometheus": {"serverAddress": "http://prometheus.monitoring.svc:9090"}}
        ),
    },
    "keda absent": {"apis": [], "values": worker_scaling()},
    "hpa": {
        "values": {
            "gateway": {"autoscaling": {"enabled": True, "minReplicas": 3}},
            **worker_scaling(kind="hpa", behavior={"scaleDown": {"stabilizationWindowSeconds": 600}}),
        }
    },
    "network policy": {
        "values": {
            "networkPolicy": {
                "enabled": True,
                "redisTo": [{"ipBlock": {"cidr": "10.1.2.3/32"}}],
                "redisPorts": [6380],
                "gatewayFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
            }
        }
    },
    "network policy and trial": {"values": {"networkPolicy": {"enabled": True}, "redis": {"trial": {"enabled": True}}}},
    "monitoring": {
        "namespace": "marketing",
        "values": {
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "prometheusRule": {
                "enabled": True,
                "runbook": "https://wiki.example/alerts",
                "rules": {"backlog_old": {"warning": 300}, "refusals": {"enabled": False}},
            },
            "dashboard": {"enabled": True, "annotations": {"grafana_folder": "Marketing"}},
        },
    },
    "everything": {
        "release": "r" * 53,
        "namespace": "n" * 63,
        "values": {
            "commonLabels": {"team": "marketing"},
            "commonAnnotations": {"owner": "web@example.com"},
            "image": {
                "repository": "registry.example.com/attentive-gateway",
                "digest": "sha256:" + "0" * 64,
                "pullSecrets": [{"name": "registry-login"}],
            },
            "config": CONFIG,
            "secrets": {"values": SECRET},
            **{
                part: {
                    "autoscaling": {"enabled": True},
                    "labels": {"tier": "edge"},
                    "annotations": {"reloader": "yes"},
                    "podLabels": {"sidecar": "no"},
                    "podAnnotations": {"prometheus.io/scrape": "true"},
                    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
                    "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
                    "extraVolumes": [{"name": "certificates", "configMap": {"name": "our-ca"}}],
                    "extraVolumeMounts": [{"name": "certificates", "mountPath": "/etc/ssl/our-ca", "readOnly": True}],
                    "extraContainers": [{"name": "logs", "image": "logs:1"}],
                    "initContainers": [{"name": "wait", "image": "wait:1"}],
                    "nodeSelector": {"disk": "ssd"},
                    "tolerations": [{"key": "spot", "operator": "Exists"}],
                    "affinity": {"nodeAffinity": {}},
                    "priorityClassName": "high",
                }
                for part in ("gateway", "worker")
            },
            "console": {"enabled": True, "ingress": {"enabled": True, "hosts": ["console.example.com"]}},
            "redis": {"trial": {"enabled": True, "nodeSelector": {"disk": "ssd"}}},
            "ingress": {"enabled": True, "hosts": ["gateway.example.com"]},
            "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]},
            "networkPolicy": {"enabled": True},
            "serviceMonitor": {"enabled": True},
            "prometheusRule": {"enabled": True, "alertLabels": {"team": "marketing"}},
            "dashboard": {"enabled": True},
            "extraObjects": [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more", "labels": {"team": "x"}}},
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-more', labels: {team: x}}\n",
            ],
        },
    },
}
