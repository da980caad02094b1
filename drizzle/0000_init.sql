CREATE TABLE "converge_job" (
	"study_instance_uid" text NOT NULL,
	"cluster" text NOT NULL,
	"generation" integer DEFAULT 1 NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"run_at" timestamp with time zone DEFAULT now() NOT NULL,
	"requested_at" timestamp with time zone DEFAULT now() NOT NULL,
	"lease" text,
	"lease_until" timestamp with time zone,
	"last_error" text,
	CONSTRAINT "converge_job_study_instance_uid_cluster_pk" PRIMARY KEY("study_instance_uid","cluster")
);
--> statement-breakpoint
CREATE TABLE "embedded_instance" (
	"cluster" text NOT NULL,
	"sop_instance_uid" text NOT NULL,
	"series_instance_uid" text NOT NULL,
	"study_instance_uid" text NOT NULL,
	"sop_class_uid" text NOT NULL,
	"transfer_syntax_uid" text NOT NULL,
	"instance_number" integer NOT NULL,
	"digest" text NOT NULL,
	"size" bigint NOT NULL,
	"path" text NOT NULL,
	"attributes" json NOT NULL,
	"metadata" json NOT NULL,
	"stored_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "embedded_instance_cluster_sop_instance_uid_pk" PRIMARY KEY("cluster","sop_instance_uid")
);
--> statement-breakpoint
CREATE TABLE "embedded_series" (
	"cluster" text NOT NULL,
	"series_instance_uid" text NOT NULL,
	"study_instance_uid" text NOT NULL,
	"attributes" json NOT NULL,
	"instances" integer DEFAULT 0 NOT NULL,
	CONSTRAINT "embedded_series_cluster_study_instance_uid_series_instance_uid_pk" PRIMARY KEY("cluster","study_instance_uid","series_instance_uid")
);
--> statement-breakpoint
CREATE TABLE "embedded_study" (
	"cluster" text NOT NULL,
	"study_instance_uid" text NOT NULL,
	"study_date" text DEFAULT '' NOT NULL,
	"patient_id" text DEFAULT '' NOT NULL,
	"accession_number" text DEFAULT '' NOT NULL,
	"attributes" json NOT NULL,
	"series" integer DEFAULT 0 NOT NULL,
	"instances" integer DEFAULT 0 NOT NULL,
	"modalities" text[] DEFAULT '{}' NOT NULL,
	"sop_classes" text[] DEFAULT '{}' NOT NULL,
	"updated_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "embedded_study_cluster_study_instance_uid_pk" PRIMARY KEY("cluster","study_instance_uid")
);
--> statement-breakpoint
CREATE TABLE "shared_key" (
	"name" text PRIMARY KEY NOT NULL,
	"value" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "study_location" (
	"study_instance_uid" text NOT NULL,
	"cluster" text NOT NULL,
	"instances" integer,
	"seen_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "study_location_study_instance_uid_cluster_pk" PRIMARY KEY("study_instance_uid","cluster")
);
--> statement-breakpoint
CREATE INDEX "converge_job_due" ON "converge_job" USING btree ("cluster","run_at");--> statement-breakpoint
CREATE INDEX "embedded_instance_order" ON "embedded_instance" USING btree ("cluster","study_instance_uid","series_instance_uid","instance_number","sop_instance_uid");--> statement-breakpoint
CREATE INDEX "embedded_series_uid" ON "embedded_series" USING btree ("cluster","series_instance_uid");--> statement-breakpoint
CREATE INDEX "embedded_study_date" ON "embedded_study" USING btree ("cluster","study_date","study_instance_uid");--> statement-breakpoint
CREATE INDEX "embedded_study_patient" ON "embedded_study" USING btree ("cluster","patient_id");--> statement-breakpoint
CREATE INDEX "embedded_study_accession" ON "embedded_study" USING btree ("cluster","accession_number");