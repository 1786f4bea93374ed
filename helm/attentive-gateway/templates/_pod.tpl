{{/*
What gateway, worker and test have in common. A component is (dict "root" $ "component" "gateway" "values"
.Values.gateway).
*/}}

{{/* The variables of every process. */}}
{{- define "gateway.environment" -}}
{{- $values := .root.Values -}}
{{- if include "gateway.hasConfig" .root }}
- name: GATEWAY_CONFIG
  value: /etc/attentive-gateway/gateway.yaml
{{- end }}
- name: GATEWAY_HOST
  value: {{ $values.listenAddress | quote }}
- name: GATEWAY_PORT
  value: {{ $values.gateway.port | quote }}
- name: GATEWAY_ADMIN_HOST
  value: {{ $values.listenAddress | quote }}
- name: GATEWAY_ADMIN_PORT
  value: {{ $values.gateway.adminPort | quote }}
- name: GATEWAY_WORKER_HOST
  value: {{ $values.listenAddress | quote }}
- name: GATEWAY_WORKER_PORT
  value: {{ $values.worker.port | quote }}
- name: GATEWAY_CONSOLE_HOST
  value: {{ $values.listenAddress | quote }}
- name: GATEWAY_CONSOLE_PORT
  value: {{ $values.console.port | quote }}
{{- if $values.redis.trial.enabled }}
- name: GATEWAY_REDIS_URL
  value: redis://{{ include "gateway.fullname" .root }}-redis:6379/0
{{- else if $values.secrets.asEnvironment }}
- name: GATEWAY_REDIS_URL
  valueFrom: # named, so that a Secret without it keeps the pod from starting
    secretKeyRef:
      name: {{ include "gateway.secretName" .root }}
      key: GATEWAY_REDIS_URL
{{- else }}
- name: GATEWAY_REDIS_URL_FILE
  value: {{ $values.secrets.mountPath }}/GATEWAY_REDIS_URL
{{- end }}
{{- if not $values.secrets.asEnvironment }}
{{- if not (include "gateway.hasConfig" .root) }}
- name: GATEWAY_WRITE_KEY_FILE
  value: {{ $values.secrets.mountPath }}/GATEWAY_WRITE_KEY
- name: ATTENTIVE_API_TOKEN_FILE
  value: {{ $values.secrets.mountPath }}/ATTENTIVE_API_TOKEN
{{- if eq .component "console" }}
- name: GATEWAY_CONSOLE_PASSWORD_FILE
  value: {{ $values.secrets.mountPath }}/GATEWAY_CONSOLE_PASSWORD
{{- end }}
{{- end }}
{{- end }}
{{- range $variable, $value := $values.settings }}
{{- if not (kindIs "invalid" $value) }}
- name: {{ $variable }}
  value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A container of our image, up to its command. */}}
{{- define "gateway.container" -}}
image: {{ include "gateway.image" . }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- with .root.Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
env:
  {{- include "gateway.environment" . | trim | nindent 2 }}
  {{- if eq .component "syncs" }}
  - name: GATEWAY_SYNC_STATE
    value: {{ .values.stateUrl | default "/var/lib/attentive-gateway/syncs" }}
  {{- end }}
  {{- if eq .component "gateway" }}
  - name: FORWARDED_ALLOW_IPS
    value: {{ join "," .values.trustedProxies | quote }}
  {{- end }}
  {{- with .values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or .root.Values.secrets.asEnvironment .values.extraEnvFrom }}
envFrom:
  {{- if .root.Values.secrets.asEnvironment }}
  - secretRef:
      name: {{ include "gateway.secretName" .root }}
  {{- end }}
  {{- with .values.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
volumeMounts:
  - name: secrets
    mountPath: {{ .root.Values.secrets.mountPath }}
    readOnly: true
  {{- if include "gateway.hasConfig" .root }}
  - name: config
    mountPath: /etc/attentive-gateway
    readOnly: true
  {{- end }}
  - name: tmp
    mountPath: /tmp
  {{- with .values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The volumes that go with it. The config is a whole directory: a file mounted by subPath would never change. */}}
{{- define "gateway.volumes" -}}
- name: secrets
  secret:
    secretName: {{ include "gateway.secretName" .root }}
    defaultMode: 0440
{{- if include "gateway.hasConfig" .root }}
- name: config
  configMap:
    name: {{ include "gateway.configMapName" .root }}
{{- end }}
- name: tmp
  emptyDir: {}
{{- with .values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What all our pods share. No service links: a Service named "gateway" would set GATEWAY_PORT. */}}
{{- define "gateway.podSpec" -}}
serviceAccountName: {{ include "gateway.serviceAccountName" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where pods run. */}}
{{- define "gateway.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A whole Deployment. Besides the component: "command", "portName", "port", "preStopSeconds", "replicas" or null. */}}
{{- define "gateway.deployment" -}}
{{- $root := .root -}}
{{- $values := .values -}}
{{- $stop := add 10 (default 0 .preStopSeconds) -}}
{{- if lt (int64 $values.terminationGracePeriodSeconds) (int64 $stop) -}}
{{- fail (printf "%s.terminationGracePeriodSeconds: a stop takes up to %d s, and would be cut short" .component $stop) -}}
{{- end -}}
{{- $scaling := default (dict "enabled" false) $values.autoscaling -}}
{{- if and $scaling.enabled (gt (int64 $scaling.minReplicas) (int64 $scaling.maxReplicas)) -}}
{{- fail (printf "%s.autoscaling: minReplicas is more than maxReplicas" .component) -}}
{{- end -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "gateway.metadata" (dict "root" $root "name" .name "component" .component "labels" $values.labels "annotations" $values.annotations) | nindent 2 }}
spec:
  {{- if not (kindIs "invalid" .replicas) }}
  replicas: {{ .replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  selector:
    matchLabels:
      {{- include "gateway.selector" . | nindent 6 }}
  strategy:
    {{- toYaml $values.strategy | nindent 4 }}
  template:
    metadata:
      labels:
        {{- include "gateway.podLabels" (dict "root" $root "component" .component "labels" $values.podLabels) | nindent 8 }}
      {{- $annotations := dict -}}
      {{- if and $root.Values.rollOnConfigChange $root.Values.config -}}
      {{- $_ := set $annotations "checksum/config" (include "gateway.config" $root | sha256sum) -}}
      {{- end -}}
      {{- if $root.Values.secrets.values -}}
      {{- $_ := set $annotations "checksum/secrets" (toJson $root.Values.secrets.values | sha256sum) -}}
      {{- end -}}
      {{- with mergeOverwrite $annotations (deepCopy $values.podAnnotations) }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "gateway.podSpec" . | nindent 6 }}
      terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      {{- with include "gateway.placement" $values | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      {{- with $values.topologySpread }}
      topologySpreadConstraints:
        {{- range . }}
        - {{ toYaml . | nindent 10 | trim }}
          labelSelector:
            matchLabels:
              {{- include "gateway.selector" $ | nindent 14 }}
        {{- end }}
      {{- end }}
      {{- with $values.initContainers }}
      initContainers:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .component }}
          {{- include "gateway.container" . | nindent 10 }}
          command: [attentive-gateway]
          args: [{{ .command }}]
          ports:
            - name: {{ .portName }}
              containerPort: {{ .port }}
            {{- with .adminPort }}
            - name: admin
              containerPort: {{ . }}
            {{- end }}
          startupProbe:
            httpGet: {path: /healthz, port: {{ .portName }}}
            {{- toYaml $values.startupProbe | nindent 12 }}
          livenessProbe:
            httpGet: {path: /healthz, port: {{ .portName }}}
            {{- toYaml $values.livenessProbe | nindent 12 }}
          readinessProbe:
            httpGet: {path: /readyz, port: {{ .portName }}}
            {{- toYaml $values.readinessProbe | nindent 12 }}
          {{- with .preStopSeconds }}
          lifecycle:
            preStop:
              exec:
                command: [sleep, {{ . | quote }}]
          {{- end }}
          {{- with $values.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
        {{- with $values.extraContainers }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      volumes:
        {{- include "gateway.volumes" . | nindent 8 }}
{{- end -}}

{{/* A PodDisruptionBudget. A pod that is not ready anyway never keeps a node from being drained. */}}
{{- define "gateway.podDisruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  {{- include "gateway.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ .values.podDisruptionBudget.maxUnavailable }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "gateway.selector" . | nindent 6 }}
{{- end -}}

{{/* A HorizontalPodAutoscaler on CPU. Besides the component: "targetCPU". */}}
{{- define "gateway.hpa" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  {{- include "gateway.metadata" . | nindent 2 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ .name }}
  minReplicas: {{ .values.autoscaling.minReplicas }}
  maxReplicas: {{ .values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ .targetCPU }}
  {{- with .values.autoscaling.behavior }}
  behavior:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
